/* SPDX-License-Identifier: MIT */
#include "tool.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    return tool_run(argc, argv, stdout, stderr, NULL);
}
