# Everything that is done with this tree; `make help` lists it. Each target first installs
# what it needs itself: Debian packages (as root, only those missing) and a Python environment.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Debian's own Python: nodes run it, and libvirt-python is built against its libraries.
PYTHON := /usr/bin/python3
VENV := .venv
READY := $(VENV)/.ready

DESTDIR :=
HOME_OF_MCV := /opt/mcv
STAGE = $(DESTDIR)$(HOME_OF_MCV).new
COMPLETION := /usr/share/bash-completion/completions/mcv
UNITS := /etc/systemd/system
UNIT_FILES := mcvd.service mcv-guests.service mcv-etcd.service mcv-lease.service mcv-verify.timer mcv-verify.service mcv-verify-failed.service
ENABLED := $(addprefix multi-user.target.wants/, mcvd.service mcv-guests.service mcv-etcd.service) timers.target.wants/mcv-verify.timer
POOL := /var/lib/mcv/pool
LIBVIRT_HOOK := /etc/libvirt/hooks/qemu.d/mcv
UDEV_RULES := /etc/udev/rules.d/57-mcv.rules
NODES ?= 2
NODE ?= 1
SECONDS ?= 600
SEED ?=
FRESH ?=

# pip works in an environment of its own, and its version is Debian's.
export PIP_ROOT_USER_ACTION := ignore
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Without a way to PyPI it says so within seconds, not after minutes.
export PIP_RETRIES := 2
export PIP_DEFAULT_TIMEOUT := 10

BESIDE = $(if $(LAB), LAB=$(LAB))

# A lab keeps about one core busy, with gaps: a third process on two cores would save minutes, and
# make nodes so slow that what they do within seconds fails. A file's tests stay in one process,
# whose lab is booted once.
SHARED := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help
help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: packages-lab $(READY)  ## Boot two nodes, make a cluster of them and show what it does
	$(VENV)/bin/python -m tests.lab.demo

.PHONY: demo-ha
demo-ha: packages-lab $(READY)  ## Boot three nodes, kill one, and show by a clock what follows (root)
	$(VENV)/bin/python -m tests.lab.demo_ha

.PHONY: fresh
fresh: packages-fresh  ## Run demo and lab tests on a bare Debian 12 made for it (root); FRESH=DIR keeps it there
	@$(PYTHON) -m tests.fresh $(if $(FRESH),--keep $(FRESH))

# High availability has the machine to itself: four nodes, and bounds in seconds.
HA := $(VENV)/bin/pytest -v --durations=20 --durations-min=3 tests/lab/ha

# The main job, which is the same wherever the document lies.
IN_ETCD := $(patsubst %,tests/lab/test_%.py,main_job kills members live)

.PHONY: test
test: packages-lab $(READY)  ## Run the tests, those on the lab's real nodes too (root)
	$(VENV)/bin/pytest $(SHARED) -m "not ha" --durations=40 --durations-min=3 $(PYTEST_ARGS)
	$(HA) $(PYTEST_ARGS) || [ $$? = 5 ]  # 5: the arguments choose none of them

.PHONY: unit
unit: packages-build $(READY)  ## Run the tests that need neither root nor the lab
	$(VENV)/bin/pytest -n 2 --dist worksteal -m "not lab" $(PYTEST_ARGS)

.PHONY: coverage
coverage: packages-build $(READY)  ## Run the tests of `unit` and say how much of mcv they reach
	$(VENV)/bin/pytest -n 2 --dist worksteal -m "not lab" --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

.PHONY: soak
soak: packages-lab $(READY)  ## Play random histories for SECONDS=600, then all deaths and kills (root)
	@$(VENV)/bin/python -m tests.model $(SECONDS)
	MCV_SOAK=1 $(VENV)/bin/pytest $(SHARED) -m "not ha" tests/deaths tests/ha tests/lab $(PYTEST_ARGS)
	MCV_SOAK=1 MCV_STORE=etcd $(VENV)/bin/pytest $(SHARED) $(IN_ETCD) $(PYTEST_ARGS)

.PHONY: lab-ha
lab-ha: packages-lab $(READY)  ## Run what high availability does in each failure, on real nodes (root)
	MCV_ROWS=1 $(HA) $(PYTEST_ARGS)

.PHONY: soak-ha
soak-ha: packages-lab $(READY)  ## Random faults for SECONDS=600 (SEED=N: those of before), then its soak tests (root)
	$(VENV)/bin/python -m tests.lab.ha.soak $(SECONDS) $(if $(SEED),--seed $(SEED))
	MCV_SOAK=1 $(HA) -m soak $(PYTEST_ARGS)

.PHONY: bench
bench: packages-lab $(READY)  ## Measure mcv beside bare commands and write docs/bench (root)
	@$(VENV)/bin/python -m tests.bench $(BENCH_ARGS)

.PHONY: format
format: $(READY)  ## Format the code
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

.PHONY: format-check
format-check: $(READY)
	$(VENV)/bin/ruff format --check .

.PHONY: lint
lint: $(READY)  ## Check the code with ruff
	$(VENV)/bin/ruff check .

.PHONY: types
types: $(READY)  ## Check the types with mypy
	$(VENV)/bin/mypy

.PHONY: lab
lab: packages-lab $(READY)  ## Boot nodes to play with (NODES=2; LAB=DIRECTORY beside the usual one)
	@$(VENV)/bin/python -m tests.lab up $(NODES)
	echo "Log in:  make lab-ssh$(BESIDE) NODE=1      Stop and delete them:  make lab-down$(BESIDE)"
	echo "More:    $(if $(LAB),LAB=$(LAB) )$(VENV)/bin/python -m tests.lab --help"

.PHONY: lab-ssh
lab-ssh: $(READY)  ## Log in to a node of the lab (NODE=1)
	@$(VENV)/bin/python -m tests.lab ssh $(NODE)

.PHONY: lab-down
lab-down: $(READY)  ## Stop the lab's nodes and delete their disks
	$(VENV)/bin/python -m tests.lab down

.PHONY: packages
packages: packages-lab  ## Install the Debian packages that are missing (root)

.PHONY: packages-build packages-node packages-lab packages-fresh
packages-build:
	@.ci/packages build
packages-node:
	@.ci/packages runtime build
packages-lab:
	@.ci/packages runtime build lab
packages-fresh:
	@.ci/packages fresh

# In a copy of the tree: building leaves files behind, and old ones get installed again.
$(READY): setup.cfg pyproject.toml | packages-build
	@echo "Making the Python environment in $(VENV), from PyPI"
	[ -x $(VENV)/bin/pip ] || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[dev]' || $(NO_PYPI)
	touch $@

# The new environment is made beside the old one and takes its place when it is whole. It
# carries the path it will have, so it may be made for another root (DESTDIR). Isolated (-I):
# root's environment and current directory have no say in which code runs.
.PHONY: install
install: $(if $(DESTDIR),packages-build,packages-node)  ## Install mcv on this host (root), or below DESTDIR
	@[ "$$(id -u)" = 0 ] || { echo "make install needs root." >&2; exit 1; }
	echo "Installing mcv in $(DESTDIR)$(HOME_OF_MCV), its Python libraries from PyPI"
	umask 022
	rm -rf $(STAGE)
	mkdir -p $(STAGE)
	$(PYTHON) -m venv $(STAGE)
	source=$$(mktemp -d); trap 'rm -rf "$$source"' EXIT
	cp -R setup.cfg pyproject.toml $(wildcard README.md LICENSE) mcv "$$source"
	$(STAGE)/bin/pip install --quiet --no-compile "$$source" || { rm -rf $(STAGE); $(NO_PYPI); }
	rm -f $(STAGE)/bin/{activate*,Activate*,easy_install*,pip*}
	find $(STAGE)/bin -type f -exec sed -i '1s|^#!$(STAGE)/bin/python.*|#!$(HOME_OF_MCV)/bin/python3 -I|' {} +
	sed -i '/^command = /d' $(STAGE)/pyvenv.cfg
	$(PYTHON) -m compileall -q -j 0 -s $(STAGE) -p $(HOME_OF_MCV) $(STAGE)/lib
	rm -rf $(DESTDIR)$(HOME_OF_MCV)
	mv $(STAGE) $(DESTDIR)$(HOME_OF_MCV)
	# The pool that every node has: QEMU's user passes through to the files of its VMs.
	install -d -m 711 $(DESTDIR)/var/lib/mcv $(DESTDIR)$(POOL)
	install -d $(DESTDIR)/usr/local/bin
	ln -sfn $(HOME_OF_MCV)/bin/mcv $(DESTDIR)/usr/local/bin/mcv
	ln -sfn $(HOME_OF_MCV)/bin/mcvd $(DESTDIR)/usr/local/bin/mcvd
	[ -e $(DESTDIR)/etc/mcv/mcv.conf ] || install -D -m 644 etc/mcv.conf $(DESTDIR)/etc/mcv/mcv.conf
	install -D -m 644 etc/cron.d/mcv $(DESTDIR)/etc/cron.d/mcv
	install -D -m 644 etc/completion/mcv.bash $(DESTDIR)$(COMPLETION)
	# Kept where it is the same: libvirtd sees a first hook only after a restart, which the check
	# tells by the file's time.
	cmp -s etc/libvirt-hook $(DESTDIR)$(LIBVIRT_HOOK) || install -D -m 755 etc/libvirt-hook $(DESTDIR)$(LIBVIRT_HOOK)
	install -D -m 644 etc/udev/57-mcv.rules $(DESTDIR)$(UDEV_RULES)
	install -d $(addprefix $(DESTDIR)$(UNITS)/, $(dir $(ENABLED)))
	install -m 644 $(addprefix etc/, $(UNIT_FILES)) $(DESTDIR)$(UNITS)
	for link in $(ENABLED); do
		ln -sfn $(UNITS)/$$(basename $$link) $(DESTDIR)$(UNITS)/$$link
	done
	$(RELOAD)
	@echo "Installed. mcvd starts with the host; now: systemctl start mcvd"

.PHONY: uninstall
uninstall:  ## Take mcv off this host (root); /var/lib/mcv and an edited mcv.conf stay
	@[ "$$(id -u)" = 0 ] || { echo "make uninstall needs root." >&2; exit 1; }
	[ -n "$(DESTDIR)" ] || [ ! -e /run/mcv/armed ] || { echo "This node is armed: its watchdog would reset it. First: mcv ha disarm" >&2; exit 1; }
	if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl stop mcv-verify.timer mcv-guests.service mcvd.service mcv-etcd.service || true; fi
	went=0
	for path in $(INSTALLED); do
		[ -e "$(DESTDIR)$$path" ] || [ -L "$(DESTDIR)$$path" ] || continue
		rm -rf "$(DESTDIR)$$path"
		echo "gone:  $(DESTDIR)$$path"
		went=1
	done
	rm -rf $(STAGE)
	conf=$(DESTDIR)/etc/mcv/mcv.conf
	if cmp -s etc/mcv.conf "$$conf"; then rm "$$conf"; echo "gone:  $$conf"; went=1; fi
	rmdir --ignore-fail-on-non-empty $(DESTDIR)/etc/mcv 2> /dev/null || true
	rmdir --parents --ignore-fail-on-non-empty $(DESTDIR)$(POOL) 2> /dev/null || true
	[ $$went = 1 ] || echo "mcv is not installed here."
	[ ! -e "$$conf" ] || echo "stays: $$conf, which was edited"
	[ ! -e $(DESTDIR)/var/lib/mcv ] || echo "stays: $(DESTDIR)/var/lib/mcv, this node's state and keys"
	if ls $(DESTDIR)/etc/drbd.d/mcv-*.res > /dev/null 2>&1; then
		echo "stays: $(DESTDIR)/etc/drbd.d/mcv-*.res and the VMs' volumes and domains"
	fi
	$(RELOAD)

INSTALLED := $(addprefix $(UNITS)/, $(ENABLED) $(UNIT_FILES)) $(UDEV_RULES) \
	/etc/cron.d/mcv $(COMPLETION) \
	$(LIBVIRT_HOOK) /usr/local/bin/mcv /usr/local/bin/mcvd $(HOME_OF_MCV)

# What to do when pip fails; its own words stand above.
define NO_PYPI
{ printf '%s\n' \
	"pip failed, and nothing was changed. mcv takes its Python libraries from PyPI and compiles one:" \
	"  no way to PyPI?  https_proxy=http://PROXY:PORT (set it, and again), or an index of your own:" \
	"                   PIP_INDEX_URL=https://INDEX/simple" \
	"  a compiler?      apt-get install gcc libc6-dev libvirt-dev pkg-config python3-dev" >&2; exit 1; }
endef

RELOAD = if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; udevadm control --reload || true; fi

# A recipe is one shell: umask and traps hold to its end.
.ONESHELL:
