/* SPDX-License-Identifier: MIT */
/*
 * observe.h - runs a source with logs and live figures if the job has them, and else as it is.
 *
 * What looks at every operation stands between the issuer and the source, so that it costs nothing
 * where it is not asked for.
 */
#ifndef AIOFIO_OBSERVE_H
#define AIOFIO_OBSERVE_H

#include "worker.h"

void observe_run(struct worker *worker, const struct source *source);

#endif
