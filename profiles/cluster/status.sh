#!/usr/bin/env bash
# Says how the job of this number stands: running, success or failed.  Without it a job that the
# scheduler ended, or that was lost with its node, would be waited for without end.
#   PBS:  qstat -xf "$1"   (job_state, Exit_status)     SGE:  qstat -j "$1", then qacct -j "$1"
#   LSF:  bjobs -noheader -o stat "$1"
said=$(scontrol --oneliner show job "$1" 2>&1)
case $said in
    *JobState=*) state=${said#*JobState=} ;;
    # Forgotten by the controller, but perhaps not by the accounts.
    *"Invalid job id"*) state=$(sacct --noheader --allocations --format=State --jobs="$1" 2>/dev/null) ;;
    # The controller does not answer: that says nothing about the job.
    *) state=PENDING ;;
esac
read -r state _ <<<"$state"
case $state in
    COMPLETED) echo success ;;
    PENDING | RUNNING | CONFIGURING | COMPLETING | SUSPENDED | REQUEUED | RESIZING) echo running ;;
    *) echo failed ;;
esac
