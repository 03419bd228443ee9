# Completion of IPMP's commands for bash. Made by tools/build_completions.py.

_ipmp_table() {  # COMMAND, then: words | value OPTION | operand
    case "$1:$2" in
        'ipmp:words') echo '--help --run-dir --version -h approve check demo explain fleet forget history hold lab pause release reload resume status watch' ;;
        'ipmp:value --run-dir') echo '@file' ;;
        'ipmp check:words') echo '--config --fix --help --root --write -h' ;;
        'ipmp check:value --config') echo '@file' ;;
        'ipmp check:value --root') echo '@file' ;;
        'ipmp status:words') echo '--help --json -h' ;;
        'ipmp watch:words') echo '--help -h' ;;
        'ipmp watch:operand') echo '@group' ;;
        'ipmp history:words') echo '--address --follow --group --help --interface --json --kind --limit --since -h' ;;
        'ipmp history:value --group') echo '@group' ;;
        'ipmp history:value --interface') echo '@interface' ;;
        'ipmp history:value --address') echo '@address' ;;
        'ipmp history:value --kind') echo 'interface-state group-state address-moved address-restored address-removed address-adopted address-retired route-moved route-restored route-forgotten failover failback offline online hold release pause resume refused activated drained stays fighting config sysctl mismatch detection-time target daemon' ;;
        'ipmp history:value --limit') echo '@none' ;;
        'ipmp history:value --since') echo '@none' ;;
        'ipmp explain:words') echo '--help -h' ;;
        'ipmp explain:operand') echo '@group@interface@address' ;;
        'ipmp hold:words') echo '--help --reason -h' ;;
        'ipmp hold:value --reason') echo '@none' ;;
        'ipmp hold:operand') echo '@interface' ;;
        'ipmp release:words') echo '--help -h' ;;
        'ipmp release:operand') echo '@interface' ;;
        'ipmp forget:words') echo '--dry-run --help --reason -h' ;;
        'ipmp forget:value --reason') echo '@none' ;;
        'ipmp forget:operand') echo '@address' ;;
        'ipmp pause:words') echo '--for --help --reason -h' ;;
        'ipmp pause:value --reason') echo '@none' ;;
        'ipmp pause:value --for') echo '@none' ;;
        'ipmp resume:words') echo '--help -h' ;;
        'ipmp approve:words') echo '--help -h' ;;
        'ipmp reload:words') echo '--help -h' ;;
        'ipmp fleet:words') echo '--help -h holders release' ;;
        'ipmp fleet holders:words') echo '--config --help --json -h' ;;
        'ipmp fleet holders:value --config') echo '@file' ;;
        'ipmp fleet release:words') echo '--config --help --reason -h' ;;
        'ipmp fleet release:value --config') echo '@file' ;;
        'ipmp fleet release:value --reason') echo '@none' ;;
        'ipmp lab:words') echo '--dir --help -h down exec fault status up' ;;
        'ipmp lab:value --dir') echo '@file' ;;
        'ipmp lab up:words') echo '--dir --help --nics -h' ;;
        'ipmp lab up:value --dir') echo '@file' ;;
        'ipmp lab up:value --nics') echo '2 3' ;;
        'ipmp lab exec:words') echo '--dir --help -h' ;;
        'ipmp lab exec:value --dir') echo '@file' ;;
        'ipmp lab exec:operand') echo 'host sw1 sw2 router peer far' ;;
        'ipmp lab fault:words') echo '--dir --help -h cable-pull loss repair silent' ;;
        'ipmp lab fault:value --dir') echo '@file' ;;
        'ipmp lab fault cable-pull:words') echo '--dir --help -h' ;;
        'ipmp lab fault cable-pull:value --dir') echo '@file' ;;
        'ipmp lab fault silent:words') echo '--dir --help -h' ;;
        'ipmp lab fault silent:value --dir') echo '@file' ;;
        'ipmp lab fault loss:words') echo '--dir --help -h' ;;
        'ipmp lab fault loss:value --dir') echo '@file' ;;
        'ipmp lab fault repair:words') echo '--dir --help -h' ;;
        'ipmp lab fault repair:value --dir') echo '@file' ;;
        'ipmp lab down:words') echo '--dir --help -h' ;;
        'ipmp lab down:value --dir') echo '@file' ;;
        'ipmp lab status:words') echo '--dir --help -h' ;;
        'ipmp lab status:value --dir') echo '@file' ;;
        'ipmp demo:words') echo '--help --once -h' ;;
        'mpathd:words') echo '--check --config --help --log.format --log.level --run-dir --state-dir --version -h' ;;
        'mpathd:value --config') echo '@file' ;;
        'mpathd:value --run-dir') echo '@file' ;;
        'mpathd:value --state-dir') echo '@file' ;;
        'mpathd:value --log.level') echo 'debug info warn error' ;;
        'mpathd:value --log.format') echo 'logfmt json' ;;
        'ipmp_exporter:words') echo '--collector.addresses --collector.config --collector.daemon --collector.groups --collector.interfaces --collector.kernel --collector.operations --collector.probes --collector.targets --help --log.format --log.level --no-collector.addresses --no-collector.config --no-collector.daemon --no-collector.groups --no-collector.interfaces --no-collector.kernel --no-collector.operations --no-collector.probes --no-collector.targets --run-dir --version --web.config.file --web.disable-exporter-metrics --web.listen-address --web.max-requests --web.systemd-socket --web.telemetry-path -h' ;;
        'ipmp_exporter:value --web.listen-address') echo '@none' ;;
        'ipmp_exporter:value --web.telemetry-path') echo '@none' ;;
        'ipmp_exporter:value --web.config.file') echo '@file' ;;
        'ipmp_exporter:value --web.max-requests') echo '@none' ;;
        'ipmp_exporter:value --run-dir') echo '@file' ;;
        'ipmp_exporter:value --log.level') echo 'debug info warn error' ;;
        'ipmp_exporter:value --log.format') echo 'logfmt json' ;;
        'ipmp_remediator:words') echo '--check --config.file --dry-run --help --log.format --log.level --run-dir --state-dir --test-payload --version --web.listen-address --web.telemetry-path -h route' ;;
        'ipmp_remediator:value --web.listen-address') echo '@none' ;;
        'ipmp_remediator:value --web.telemetry-path') echo '@none' ;;
        'ipmp_remediator:value --config.file') echo '@file' ;;
        'ipmp_remediator:value --run-dir') echo '@file' ;;
        'ipmp_remediator:value --state-dir') echo '@file' ;;
        'ipmp_remediator:value --test-payload') echo '@file' ;;
        'ipmp_remediator:value --log.level') echo 'debug info warn error' ;;
        'ipmp_remediator:value --log.format') echo 'logfmt json' ;;
        'ipmp_remediator route:words') echo '--check --config.file --help --log.format --log.level --version --web.listen-address -h' ;;
        'ipmp_remediator route:value --config.file') echo '@file' ;;
        'ipmp_remediator route:value --web.listen-address') echo '@none' ;;
        'ipmp_remediator route:value --log.level') echo 'debug info warn error' ;;
        'ipmp_remediator route:value --log.format') echo 'logfmt json' ;;
        'ipmp_fleetlock:words') echo '--check --config.file --help --log.format --log.level --version --web.listen-address -h' ;;
        'ipmp_fleetlock:value --config.file') echo '@file' ;;
        'ipmp_fleetlock:value --web.listen-address') echo '@none' ;;
        'ipmp_fleetlock:value --log.level') echo 'debug info warn error' ;;
        'ipmp_fleetlock:value --log.format') echo 'logfmt json' ;;
        'if_mpadm:words') echo '--dry-run --reason --run-dir -d -r' ;;
        'if_mpadm:value -d') echo '@interface' ;;
        'if_mpadm:value -r') echo '@interface' ;;
        'if_mpadm:value --reason') echo '@none' ;;
        'if_mpadm:value --run-dir') echo '@file' ;;
        'ipmpstat:words') echo '--json --run-dir --watch -P -a -g -i -n -o -p -t' ;;
        'ipmpstat:value -o') echo 'all' ;;
        'ipmpstat:value --run-dir') echo '@file' ;;
    esac
}

_ipmp_names() {  # the names of this host: @group@interface
    case "$1" in *@group*) ipmpstat -g -P -o group 2>/dev/null ;; esac
    case "$1" in *@interface*) ipmpstat -i -P -o interface 2>/dev/null ;; esac
    case "$1" in *@address*) ipmpstat -a -n -P -o address 2>/dev/null ;; esac
}

_ipmp_candidates() {  # the words before the one that is completed, the command first
    local command="$1" last="$1" word kind
    command="${command##*/}"
    shift
    for word in "$@"; do
        case "$word" in
            -*) ;;
            *) [ -n "$(_ipmp_table "$command $word" words)" ] && command="$command $word" ;;
        esac
        last="$word"
    done
    kind="$(_ipmp_table "$command" "value $last")"
    if [ -z "$kind" ]; then
        _ipmp_table "$command" words
        kind="$(_ipmp_table "$command" operand)"
    fi
    case "$kind" in
        @file|@none) echo "$kind" ;;
        @*) _ipmp_names "$kind" ;;
        *) echo "$kind" ;;
    esac
}

_ipmp_complete() {
    local current="${COMP_WORDS[COMP_CWORD]}" found IFS=$' \t\n'
    found="$(_ipmp_candidates "${COMP_WORDS[@]:0:COMP_CWORD}")"
    COMPREPLY=()
    case "$found" in
        *@none*) return ;;
        *@file*) compopt -o default 2>/dev/null; found="${found//@file/}" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$found" -- "$current")
}

complete -F _ipmp_complete ipmp mpathd ipmp_exporter ipmp_remediator ipmp_fleetlock if_mpadm ipmpstat
