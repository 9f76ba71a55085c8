#!/bin/bash
# One training on a Slurm cluster, on one machine or several; DATA is a store, OUT a run:
#   sbatch [--nodes=2] [--gpus-per-node=2] profiles/slurm/train.sh DATA OUT [options]
# A GPU should have two slices of the batch of 8: four GPUs in all.
# Options are those of `mscf train`. Two minutes before its hours end Slurm sends SIGUSR1:
# mscf saves its state and ends with 75, the job is queued again and goes on to the same
# bytes. Any other end is final. Partition, account and hours are yours to set.
#SBATCH --job-name=mscf
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

data=${1:?a store, made by data_scripts/prepare.py}
out=${2:?the folder of the run}
run=(train --data "$data" --out "$out" --resume "${@:3}")

export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1} # else srun's steps have one core
rm -f "$out"/rank-*.json # how the processes of an earlier try ended
if [ "${SLURM_JOB_NUM_NODES:-1}" = 1 ]; then
  srun mscf "${run[@]}" # starts a process for each GPU by itself
else
  # Read since torch 2.10; an older torchrun refuses it as an option, and ends at SIGUSR1.
  export PET_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGUSR1
  first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
  port=$((20000 + SLURM_JOB_ID % 20000)) # another job of ours may be on this machine
  srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
    --rdzv-backend c10d --rdzv-endpoint "$first:$port" --rdzv-id "$SLURM_JOB_ID" \
    -m mscf "${run[@]}"
fi
code=$?

# torchrun ends with 1 whatever its processes ended with; each of mscf's leaves why in a
# file, but for one that was killed. Only if all were asked, or lost those that were, 75.
if [ "${SLURM_JOB_NUM_NODES:-1}" != 1 ] && [ "$code" != 0 ]; then
  left=$(grep -ohsE '"check": "[a-z-]*", "(finding|traceback)"' "$out"/rank-*.json)
  others=$(grep -vE '"(stopped|rank-lost|rank-failed|launcher-gone)"' <<< "$left")
  processes=$((SLURM_JOB_NUM_NODES * ${SLURM_GPUS_ON_NODE:-1}))
  if grep -q '"stopped"' <<< "$left" && [ -z "$others" ] &&
    [ "$(wc -l <<< "$left")" = "$processes" ]; then
    code=75
  fi
fi
if [ "$code" = 75 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
