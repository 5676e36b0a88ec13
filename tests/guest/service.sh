# The services of contrib/ under systemd, as root in a guest of its own: test_contrib.py reads what this prints.
set -u
own=/sys/fs/cgroup/system.slice
place=/var/lib/labplane

fail() {
    echo "failed: $*"
    [ -z "${console-}" ] || typed "$console" ''
    systemctl status --no-pager -l labplane labplane-keeper
    journalctl --no-pager -o cat -u labplane -u labplane-keeper -n 60
    exit 1
}

# wait_for TIMES COMMAND: try it so often, until it succeeds.
wait_for() {
    left=$1
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "$*"
        sleep 1
    done
}

# ask PATH [BODY]: the reply.
ask() {
    wget -q -O - --header "Authorization: Bearer $(cat $place/token)" ${2:+--post-data "$2"} "http://127.0.0.1:8000/v1$1"
}

# typed CONSOLE LINE: what the console shows within four seconds after that.
typed() {
    (printf '%s\r' "$2" && sleep 4) | timeout 6 nc 127.0.0.1 "$1"
}

# shows CONSOLE LINE PATTERN: type the line again and again, until the console shows that.
shows() {
    wait_for 20 eval "typed $1 '$2' | grep '$3'"
}

# value NAME: of that member in the JSON that comes.
value() {
    tr -d ' ",' | sed -n "s/^$1://p"
}

# A Python below a home directory would not be there for the services.
for unit in labplane labplane-keeper; do
    mkdir -p /etc/systemd/system/$unit.service.d
    printf '[Service]\nProtectHome=no\n' >/etc/systemd/system/$unit.service.d/home.conf
done
mkdir -p /opt /etc/default
chmod 755 /root
ln -s "$PWD/.venv" /opt/labplane
cp contrib/*.service /etc/systemd/system/
printf 'LABPLANE_ONLY_PLUGINS=projects,ports,vpcs\nLABPLANE_MAX_VM_RESIDENT=67108864\n' >/etc/default/labplane
systemctl daemon-reload
systemd-analyze verify labplane.service labplane-keeper.service || fail "the units are no good"

systemctl start labplane || fail "it does not start"
wait_for 180 ask /version
echo "owner $(stat -c '%U %a' $place/token)"
project=/projects/$(ask /projects '{}' | value project_id)
for port in 10000 10001; do ask /ports/udp '{}' >/dev/null; done
lport=10000
for engine in builtin vpcs; do
    vms=$project/vpcs/vms
    vm=$(ask "$vms" "{\"name\": \"$engine\", \"engine\": \"$engine\"}" | value vm_id)
    nio="{\"type\": \"nio_udp\", \"lport\": $lport, \"rhost\": \"127.0.0.1\", \"rport\": $((20001 - lport))}"
    ask "$vms/$vm/adapters/0/ports/0/nio" "$nio" >/dev/null
    ask "$vms/$vm/start" '{}' >/dev/null
    lport=10001
done
echo "limit $(cat $own/labplane-keeper.service/labplane-*/run-"$vm"/memory.max)"
before=$(cat $own/labplane-keeper.service/labplane-*/run-"$vm"/*/cgroup.procs)
server=$(cat $own/labplane.service/cgroup.procs)

systemctl restart labplane || fail "it does not restart"
wait_for 180 ask /version
echo "restarted $([ "$server" = "$(cat $own/labplane.service/cgroup.procs)" ]; echo $?)"
echo "same $([ "$before" = "$(cat $own/labplane-keeper.service/labplane-*/run-"$vm"/*/cgroup.procs)" ]; echo $?)"
echo "statuses" $(ask "$vms" | value status)
host=1
for console in $(ask "$vms" | value console); do
    shows "$console" "ip 10.0.0.$host/24" "10.0.0.$host 255.255.255.0"
    host=2
done
shows "$console" 'ping 10.0.0.1' '10.0.0.1 icmp_seq=1 ttl='
echo "linked yes"

systemctl stop labplane || fail "it does not stop"
echo "on" $([ -d "/proc/$before" ]; echo $?) "$(systemctl is-active labplane-keeper)"
systemctl stop labplane-keeper || fail "the keeper does not stop"
echo "left" "$(ls -d $own/labplane*.service 2>/dev/null || echo none)" "$(ps -o user | grep -c labplane)"
for unit in labplane labplane-keeper; do systemd-analyze security --no-pager $unit | tail -n 1; done
