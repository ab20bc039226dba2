/* SPDX-License-Identifier: MIT */
/*
 * log_files.h - fio's log files: <prefix>_bw.<job>.log, _iops, _slat, _clat, _lat and _clat_hist.
 */
#ifndef AIOFIO_LOG_FILES_H
#define AIOFIO_LOG_FILES_H

#include "worker.h"

/* Adds notes about logs that will be empty. */
void log_files_note(struct job_list *list);

/* Refuses what would replace a file that is no log, unless force. 0, or -1 with a reason. */
int log_files_check(const struct plan *plan, bool force, struct message *message);

/* The log that a job asks for, or NULL. */
struct job_log *log_files_begin(const struct job_options *options);

/* Writes the logs of all jobs, which have ended. 0, or -1 with a reason. */
int log_files_write(const struct run *run, struct message *message);

#endif
