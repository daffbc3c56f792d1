# Completion of mcv in bash: mcv itself says what may come next (click's own mechanism).

_mcv_completion() {
    local IFS=$'\n'
    local completion response type value

    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \
        _MCV_COMPLETE=bash_complete "$1" 2> /dev/null)

    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir)
                COMPREPLY=()
                compopt -o dirnames
                ;;
            file)
                COMPREPLY=()
                compopt -o default
                ;;
            plain)
                COMPREPLY+=("$value")
                ;;
        esac
    done
    return 0
}

# bash older than 4.4 does not know nosort.
complete -o nosort -F _mcv_completion mcv 2> /dev/null || complete -F _mcv_completion mcv
