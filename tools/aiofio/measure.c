/* SPDX-License-Identifier: MIT */
#include "measure.h"

#include "clock.h"

uint64_t measure_window_ns(const struct job_options *options)
{
    uint64_t a = options->bwavgtime_us;
    uint64_t b = options->iopsavgtime_us;

    while (b) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a * NS_PER_US;
}

struct stats_disabled measure_disabled(const struct job_options *options)
{
    return (struct stats_disabled){
        .slat = options->disable_slat || options->gtod_reduce,
        .clat = options->disable_clat || options->gtod_reduce,
        .lat = options->disable_lat || options->gtod_reduce,
        .bandwidth = options->disable_bw || options->gtod_reduce,
    };
}
