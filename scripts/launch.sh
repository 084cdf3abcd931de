#!/usr/bin/env bash
# Starts N ranks of a command, on this machine or on those of a list, and ends all of them when one
# fails. See usage below.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/launch.sh -n N [-p PORT] [-g SECONDS] [--] COMMAND [ARGUMENT...]
       scripts/launch.sh -H HOSTS [-n N] [-x NAME]... [-p PORT] [-g SECONDS] [--] COMMAND [ARGUMENT...]

Starts N processes of COMMAND, the ranks of one group, with these variables set:
  RANK                0 to N-1
  LOCAL_RANK          the same, or with -H the rank's number on its host
  WORLD_SIZE          N
  MASTER_ADDR         127.0.0.1, or with -H the first host, unless set
  MASTER_PORT         the port given, else the variable if set, else a free one
  DEEPEP4J_SECRET     a random text, unless set
and prefixes each line that a rank writes with "[rank R] ".

With -H the ranks run on other hosts, through ssh (or the command in DEEPEP4J_SSH) without a
password, in a directory of this one's name, and end when this script does. They also get the
variables whose names begin with DEEPEP4J_, NVSHMEM_, CUDA_ or NCCL_, and those named by -x; they
travel over ssh's input and are on no command line. The first host must be reachable from all others
by its name in the list.

  -n N         number of ranks, 1 to 1024; with -H at most, and by default, all places of the hosts
  -H HOSTS     HOST[:PLACES],... or a file with one "HOST [PLACES]" a line and comments after #;
               PLACES, the ranks on a host, is 1 if not given. Ranks are numbered host by host
  -x NAME      a variable of this environment that the ranks on other hosts get, too
  -p PORT      where rank 0 listens, 1 to 65535
  -g SECONDS   time between TERM and KILL when the ranks are ended, 0 to 3600 (default 5)
  -h           this text

Exit status: 0 if every rank succeeds, else that of the first rank that fails (128 + S if signal S
ended it); 130 after Ctrl-C, 143 after TERM, 129 after HUP; 2 for wrong arguments.
USAGE
}

refuse() {
  printf 'launch.sh: %s\n' "$1" >&2
  exit 2
}

# A whole number of at most nine digits, which bash can't misread, within bounds.
require_number() {
  local name=$1 value=$2 least=$3 most=$4
  if ! [[ $value =~ ^(0|[1-9][0-9]{0,8})$ ]] || ((value < least || value > most)); then
    refuse "$name must be a number from $least to $most: '$value'"
  fi
}

# A port below the range from which the system takes ports for connections, so that none of these
# gets it before rank 0 does.
free_port() {
  local port
  for _ in {1..200}; do
    port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
    # Whoever listens accepts; refused means free.
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  refuse "no free port found between 10000 and 29999: give one with -p"
}

# Adds a host of the list to hosts, once for each of its places.
add_host() {
  local host=$1 places=${2:-1} place
  [[ $host =~ ^[A-Za-z0-9_][A-Za-z0-9_.@-]*$ ]] || refuse "a host must be a name or an address: '$host'"
  require_number "the places of $host" "$places" 1 1024
  for ((place = 0; place < places; place++)); do
    hosts+=("$host")
    places_of+=("$place")
  done
}

read_hosts() {
  local list=$1 line entry words
  if [[ -f $list ]]; then
    while IFS= read -r line || [[ -n $line ]]; do
      read -r -a words <<<"${line%%#*}"
      ((${#words[@]} <= 2)) || refuse "a line of $list must be HOST [PLACES]: '$line'"
      ((${#words[@]} == 0)) || add_host "${words[@]}"
    done <"$list"
  else
    while IFS= read -r -d , entry; do
      if [[ $entry == *:* ]]; then
        add_host "${entry%%:*}" "${entry#*:}"
      else
        add_host "$entry"
      fi
    done <<<"$list,"
  fi
  ((${#hosts[@]} > 0)) || refuse "-H must name a host: '$list'"
}

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 501)); then
  refuse "bash 5.1 or newer is needed: $BASH_VERSION"
fi

num_ranks=
port=${MASTER_PORT:-}
grace_seconds=5
host_list=
hosts=()     # of each place
places_of=() # its number on its host
passed=()
while getopts ':n:H:x:p:g:h' option; do
  case $option in
    n) num_ranks=$OPTARG ;;
    H) host_list=$OPTARG ;;
    x) passed+=("$OPTARG") ;;
    p) port=$OPTARG ;;
    g) grace_seconds=$OPTARG ;;
    h)
      usage
      exit 0
      ;;
    :) refuse "-$OPTARG needs a value (-h for help)" ;;
    *) refuse "unknown option -$OPTARG (-h for help)" ;;
  esac
done
shift $((OPTIND - 1))
[[ -z $host_list ]] || read_hosts "$host_list"
if [[ -z $num_ranks ]]; then
  [[ -n $host_list ]] || refuse "-n N, the number of ranks, must be given (-h for help)"
  num_ranks=${#hosts[@]}
fi
require_number "-n" "$num_ranks" 1 1024
[[ -z $host_list ]] || ((num_ranks <= ${#hosts[@]})) ||
  refuse "-n must be at most the ${#hosts[@]} places of the hosts: $num_ranks"
for name in "${passed[@]}"; do
  [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || refuse "-x must be the name of a variable: '$name'"
  [[ -n ${!name+set} ]] || refuse "-x names a variable that is not set: $name"
done
require_number "-g" "$grace_seconds" 0 3600
[[ -z $port ]] || require_number "the port (-p or MASTER_PORT)" "$port" 1 65535
(($# > 0)) || refuse "a command must be given (-h for help)"
[[ -n $host_list ]] || type -P -- "$1" >/dev/null || refuse "the command is not found: '$1'"
[[ -z ${DEEPEP4J_SECRET+set} || -n $DEEPEP4J_SECRET ]] || refuse "DEEPEP4J_SECRET is set but empty"

export WORLD_SIZE=$num_ranks
if [[ -n $host_list ]]; then
  export MASTER_ADDR=${MASTER_ADDR:-${hosts[0]#*@}}
else
  export MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
fi
[[ -n $port ]] || port=$(free_port)
export MASTER_PORT=$port
# In the environment, which only this user's processes can read, and never on a command line.
if [[ -z ${DEEPEP4J_SECRET:-} ]]; then
  DEEPEP4J_SECRET=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
fi
export DEEPEP4J_SECRET

# What a host's shell is given: the variables, the command, and an end for it. It reads this from ssh's
# input, which stays open as long as the rank is to live; whatever ends ssh closes it. The braces make
# the shell read all of it before it does any, so that the rest of the input is only its end.
remote_script() {
  local name
  echo '{'
  for name in RANK LOCAL_RANK WORLD_SIZE MASTER_ADDR MASTER_PORT "${passed[@]}" \
    "${!DEEPEP4J_@}" "${!NVSHMEM_@}" "${!CUDA_@}" "${!NCCL_@}"; do
    printf 'export %s=%q\n' "$name" "${!name}"
  done
  printf 'cd %q || exit 2\n' "$PWD"
  printf 'command=('
  printf '%q ' "$@"
  printf ')\ngrace=%q\n' "$grace_seconds"
  cat <<'SCRIPT'
exec 3<&0
set -m
"${command[@]}" </dev/null 3<&- &
rank=$!
{
  read -r _ <&3
  kill -TERM -- "-$rank" && kill -CONT -- "-$rank"
  sleep "$grace"
  kill -KILL -- "-$rank"
} >/dev/null 2>&1 &
watcher=$!
set +m
wait "$rank" 2>/dev/null
status=$?
kill -KILL -- "-$watcher" 2>/dev/null
exit "$status"
}
SCRIPT
}

# Runs a command on a host, in a process group of its own. Its end ends what feeds ssh, and the other
# way round.
run_remote() {
  local host=$1 status=0 feeder input
  local -a ssh
  shift
  read -r -a ssh <<<"${DEEPEP4J_SSH:-ssh -T -o BatchMode=yes}"
  exec {input}< <(
    remote_script "$@"
    exec sleep 2147483647
  )
  feeder=$!
  "${ssh[@]}" "$host" bash -s <&"$input" || status=$?
  kill "$feeder" 2>/dev/null || true
  return "$status"
}

# Every rank leads a process group of its own (job control is on while it starts), so that a signal
# reaches what it has started, too, and Ctrl-C comes here first.
declare -A rank_of=()
prefixers=()

start_rank() {
  local rank=$1 pipe
  shift
  # The prefixer is no part of the rank's group: it must outlive it to print its last words.
  exec {pipe}> >(trap '' INT TERM HUP; exec sed -u "s/^/[rank $rank] /")
  prefixers+=("$!")
  set -m
  if [[ -n $host_list ]]; then
    RANK=$rank LOCAL_RANK=${places_of[rank]} run_remote "${hosts[rank]}" "$@" </dev/null >&"$pipe" \
      2>&1 {pipe}>&- &
  else
    RANK=$rank LOCAL_RANK=$rank "$@" </dev/null >&"$pipe" 2>&1 {pipe}>&- &
  fi
  rank_of[$!]=$rank
  set +m
  exec {pipe}>&-
}

signal_ranks() {
  local pid
  for pid in "${!rank_of[@]}"; do
    kill "-$1" -- "-$pid" 2>/dev/null || true
  done
}

ranks_alive() {
  local pid
  for pid in "${!rank_of[@]}"; do
    if kill -0 -- "-$pid" 2>/dev/null; then
      return 0
    fi
  done
  return 1
}

# Ends what still runs: TERM, then KILL. A stopped process takes TERM only once it continues.
end_ranks() {
  local polls=$((grace_seconds * 20))
  signal_ranks TERM
  signal_ranks CONT
  while ranks_alive && ((polls-- > 0)); do
    sleep 0.05
  done
  signal_ranks KILL
}

finish() {
  local status=$1 pid
  trap '' INT TERM HUP
  end_ranks
  if ((${#rank_of[@]} > 0)); then
    wait "${!rank_of[@]}" 2>/dev/null || true
  fi
  # They end with the last writer; something that a rank left behind must not hold us up.
  local polls=$((grace_seconds * 20))
  while kill -0 "${prefixers[@]}" 2>/dev/null && ((polls-- > 0)); do
    sleep 0.05
  done
  kill -KILL "${prefixers[@]}" 2>/dev/null || true
  exit "$status"
}

trap 'finish 130' INT
trap 'finish 143' TERM
trap 'finish 129' HUP

for ((rank = 0; rank < num_ranks; rank++)); do
  start_rank "$rank" "$@"
done

remaining=$num_ranks
while ((remaining > 0)); do
  status=0
  # bash's own report of a killed job goes nowhere: ours names the rank.
  wait -n -p ended "${!rank_of[@]}" 2>/dev/null || status=$?
  if [[ -z ${ended:-} ]]; then
    continue
  fi
  if ((status != 0)); then
    printf 'launch.sh: rank %s ended with status %s; ending the others\n' "${rank_of[$ended]}" "$status" >&2
    finish "$status"
  fi
  # Its number may now be given to another process: it must not be signalled any more.
  unset "rank_of[$ended]"
  remaining=$((remaining - 1))
  ended=
done
finish 0
