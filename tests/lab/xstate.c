/*
 * Preloaded into the kernel of a node, so that it runs on processors newer than itself.
 *
 * Before each return to a program, the kernel sets the program's extended registers with
 * PTRACE_SETREGSET, from a buffer of 2696 bytes: room for AVX-512, which was the last word when
 * it was written. The host takes nothing but its own full size, and where the processor has AMX
 * that is 11008 bytes: EFAULT ("ptrace set fp regs failed, errno = 14"), and init dies. Here the
 * buffer is filled up with zeroes: the state that a program has which never used the rest.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define MOST (64 << 10)

typedef long (*ptrace_function)(enum __ptrace_request, ...);

/* The kernel of a node traces from one thread alone. */
static char full[MOST];
static size_t host_size;

static size_t size_on_host(ptrace_function next, pid_t pid)
{
    struct iovec whole = {full, MOST};

    if (next(PTRACE_GETREGSET, pid, (void *) NT_X86_XSTATE, &whole) < 0)
        return 0;
    memset(full, 0, MOST);
    return whole.iov_len;
}

long ptrace(enum __ptrace_request request, ...)
{
    static ptrace_function next;
    va_list arguments;
    pid_t pid;
    void *address, *data;
    struct iovec *given;

    va_start(arguments, request);
    pid = va_arg(arguments, pid_t);
    address = va_arg(arguments, void *);
    data = va_arg(arguments, void *);
    va_end(arguments);
    if (!next)
        next = (ptrace_function) dlsym(RTLD_NEXT, "ptrace");

    if (request == PTRACE_SETREGSET && address == (void *) NT_X86_XSTATE) {
        given = data;
        if (!host_size)
            host_size = size_on_host(next, pid);
        if (given->iov_len < host_size) {
            struct iovec whole = {full, host_size};

            memcpy(full, given->iov_base, given->iov_len);
            return next(request, pid, address, &whole);
        }
    }
    return next(request, pid, address, data);
}
