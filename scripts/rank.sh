#!/usr/bin/env bash
# Runs a command as a rank that Slurm, mpirun or Kubernetes has started: gives it RANK, WORLD_SIZE, LOCAL_RANK,
# MASTER_ADDR and MASTER_PORT out of what these set. Variables that are set already stay.
#   srun scripts/rank.sh COMMAND...      mpirun ... scripts/rank.sh COMMAND...
# Slurm names the first host and gives each job a port; mpirun and Kubernetes name none: set MASTER_ADDR for them.
set -euo pipefail

refuse() {
  printf 'rank.sh: %s\n' "$1" >&2
  exit 2
}

# The first host of a list such as node[03-05,9],other7.
first_host() {
  local list=$1
  if [[ $list =~ ^([^][,]*)\[([^],-]*)[^]]*\]([^,]*) ]]; then
    echo "${BASH_REMATCH[1]}${BASH_REMATCH[2]}${BASH_REMATCH[3]}"
  else
    echo "${list%%,*}"
  fi
}

(($# > 0)) || refuse "a command must be given"
default_port=29500
if [[ -n ${SLURM_PROCID:-} ]]; then
  rank=$SLURM_PROCID size=${SLURM_NTASKS:-} local_rank=${SLURM_LOCALID:-}
  address=$(first_host "${SLURM_STEP_NODELIST:-${SLURM_JOB_NODELIST:-}}")
  # Jobs of one host must not meet at one port.
  default_port=$((20000 + ${SLURM_JOB_ID:-0} % 10000))
elif [[ -n ${OMPI_COMM_WORLD_RANK:-} ]]; then
  rank=$OMPI_COMM_WORLD_RANK size=${OMPI_COMM_WORLD_SIZE:-} local_rank=${OMPI_COMM_WORLD_LOCAL_RANK:-} address=''
elif [[ -n ${PMI_RANK:-} ]]; then # MPICH and its relatives
  rank=$PMI_RANK size=${PMI_SIZE:-} local_rank=${MPI_LOCALRANKID:-} address=''
elif [[ -n ${JOB_COMPLETION_INDEX:-} ]]; then # Kubernetes, an indexed Job
  rank=$JOB_COMPLETION_INDEX size='' local_rank=0 address=''
else
  rank='' size='' local_rank='' address=''
fi
export RANK=${RANK:-$rank}
export WORLD_SIZE=${WORLD_SIZE:-$size}
export LOCAL_RANK=${LOCAL_RANK:-${local_rank:-$RANK}}
export MASTER_ADDR=${MASTER_ADDR:-$address}
export MASTER_PORT=${MASTER_PORT:-$default_port}
for name in RANK WORLD_SIZE MASTER_ADDR; do
  [[ -n ${!name} ]] || refuse "$name must be set: this launcher does not tell it"
done
exec "$@"
