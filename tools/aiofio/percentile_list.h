/* SPDX-License-Identifier: MIT */
/*
 * percentile_list.h - the percentiles that a report names: percentile_list=50:99:99.9.
 */
#ifndef AIOFIO_PERCENTILE_LIST_H
#define AIOFIO_PERCENTILE_LIST_H

#include "text.h"

#define PERCENTILES_MAX 20 /* fio's limit */
#define PERCENTILES_DEFAULT "1:5:10:20:30:40:50:60:70:80:90:95:99:99.5:99.9:99.95:99.99"

struct percentile_list {
    double percents[PERCENTILES_MAX]; /* rising */
    unsigned count;
    unsigned decimals; /* to print the most exact of them */
};

/* NULL: the default. 0, or -1 with a reason. */
int percentile_list_parse(const char *text, struct percentile_list *list, struct message *message);

#endif
