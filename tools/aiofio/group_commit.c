/* SPDX-License-Identifier: MIT */
#include "group_commit.h"

#include "clock.h"

void group_commit_init(struct group_commit *group)
{
    *group = (struct group_commit){.members = 0};
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->changed, NULL);
}

void group_commit_destroy(struct group_commit *group)
{
    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->lock);
}

void group_commit_join(struct group_commit *group)
{
    pthread_mutex_lock(&group->lock);
    group->members++;
    pthread_mutex_unlock(&group->lock);
}

/* Those that wait may be all there are now. */
void group_commit_leave(struct group_commit *group)
{
    pthread_mutex_lock(&group->lock);
    group->members--;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
}

/* With the lock held: syncs for all that wait now. Those that come meanwhile wait for the next. */
static void sync_for_all(struct group_commit *group, struct aio_file *file, uint64_t *synced_ns)
{
    uint64_t start_ns = clock_now_ns();
    int result;

    group->waiting = 0;
    group->begun++;
    pthread_mutex_unlock(&group->lock);
    result = aio_file_datasync(file);
    *synced_ns = clock_now_ns() - start_ns;
    pthread_mutex_lock(&group->lock);
    group->ended++;
    if (result < 0 && !group->failed) {
        group->failed = group->ended;
        group->error = result;
    }
    pthread_cond_broadcast(&group->changed);
}

int group_commit_wait(struct group_commit *group, struct aio_file *file, unsigned wanted,
                      uint64_t *synced_ns)
{
    uint64_t own;
    int result;

    pthread_mutex_lock(&group->lock);
    /* The sync that covers the caller is the next one to begin. */
    own = group->begun + 1;
    group->waiting++;
    pthread_cond_broadcast(&group->changed);
    while (group->ended < own) {
        bool enough = group->waiting >= wanted || group->waiting >= group->members;

        if (group->begun < own && group->begun == group->ended && enough)
            sync_for_all(group, file, synced_ns);
        else
            pthread_cond_wait(&group->changed, &group->lock);
    }
    result = group->failed && own >= group->failed ? group->error : 0;
    pthread_mutex_unlock(&group->lock);
    return result;
}
