/* SPDX-License-Identifier: MIT */
#include "support.h"
static Suite *times_suite(void)
{
    return suite_create("times");
}
int main(int argc, char **argv)
{
    return run_suite_on_engine(argc, argv, times_suite);
}
