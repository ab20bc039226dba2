/* SPDX-License-Identifier: MIT */
/*
 * With one size of operations a random pass is a permutation of the blocks. With several, the
 * region is cut into cells of CELL_OPERATIONS times the largest size. What a cell is made of -
 * which reads and writes, of which sizes - is drawn from a stream that the cell's number seeds, so
 * it is the same each time it is looked at, and fills the cell without a gap. A cell is visited in
 * CELL_WINDOWS windows, in the order of one permutation of all windows of all cells: a visit gives
 * the operations that begin in the window. So every byte comes once, and nothing is remembered.
 */
#include "pattern.h"

#include <assert.h>

#define CELL_OPERATIONS 16u
#define CELL_WINDOWS 16u

/* Draws until a direction fits, before the one with the smaller size is taken. */
#define DRAWS_MAX 8u

static bool has_one_size(const struct pattern_spec *spec)
{
    const struct block_sizes *sizes = spec->sizes;

    if (spec->reads && block_sizes_vary(&sizes[0]))
        return false;
    if (spec->writes && block_sizes_vary(&sizes[1]))
        return false;
    return !spec->reads || !spec->writes || sizes[0].least == sizes[1].least;
}

static bool has_map(const struct pattern_spec *spec)
{
    for (unsigned i = 0; i < BLOCK_SIZE_DIRECTIONS; i++)
        if (spec->random_percent[i] < 100 || spec->align[i])
            return false;
    return !spec->no_map && !spec->distributions && (spec->run <= 1 || has_one_size(spec));
}

static uint32_t least_size(const struct pattern_spec *spec)
{
    uint32_t read = spec->sizes[0].least;
    uint32_t write = spec->sizes[1].least;

    if (!spec->reads || !spec->writes)
        return spec->reads ? read : write;
    return read < write ? read : write;
}

static uint32_t common_step(const struct pattern_spec *spec)
{
    uint64_t step = 0;

    if (spec->reads)
        step = common_divisor(spec->sizes[0].step, step);
    if (spec->writes)
        step = common_divisor(spec->sizes[1].step, step);
    return (uint32_t)step;
}

bool pattern_covers(const struct pattern_spec *spec)
{
    bool whole = spec->amount == 0 && spec->operations == 0;

    if (!spec->random)
        return whole && spec->hole == 0 && !(spec->reads && spec->writes);
    return whole && has_map(spec) && !spec->identical;
}

uint64_t pattern_pass_bytes(const struct pattern_spec *spec)
{
    uint64_t unit = has_one_size(spec) ? least_size(spec) : common_step(spec);

    return spec->region - spec->region % unit;
}

static bool draw_direction(const struct pattern *pattern, struct random_stream *stream)
{
    const struct pattern_spec *spec = &pattern->spec;

    if (spec->reads && spec->writes)
        return random_below(stream, 100) >= spec->read_percent;
    return spec->writes;
}

/* Draws direction and size of an operation for which there is so much room. One that does not fit
 * is cut if its size varies anyway (to draw until one fits would favour small ones); else the other
 * direction is taken, and where that does not fit either, all the room. */
static void draw_fitting(const struct pattern *pattern, struct random_stream *stream, uint64_t room,
                         struct place *place)
{
    const struct block_sizes *sizes = pattern->spec.sizes;

    for (unsigned i = 0; i < DRAWS_MAX; i++) {
        place->write = draw_direction(pattern, stream);
        place->length = block_sizes_draw(&sizes[place->write], stream);
        if (place->length <= room)
            return;
        if (block_sizes_vary(&sizes[place->write]) && room >= sizes[place->write].step) {
            place->length = (uint32_t)(room - room % sizes[place->write].step);
            return;
        }
    }
    if (sizes[place->write].least > room && pattern->spec.reads && pattern->spec.writes)
        place->write = !place->write;
    place->length = sizes[place->write].least;
    if (place->length > room)
        place->length = (uint32_t)room;
}

/* --- every byte once --- */

static bool locate_block(struct pattern *pattern, struct place *place)
{
    uint32_t length = pattern->least;

    if (pattern->issued == pattern->slots)
        return false;
    place->write = pattern->mixes ? draw_direction(pattern, &pattern->mix) : pattern->spec.writes;
    place->length = length;
    place->offset = permutation_at(&pattern->permutation, pattern->issued++) * length;
    return true;
}

/* rand*:N - runs of N blocks, in the order of a permutation of the runs. */
static bool locate_run(struct pattern *pattern, struct place *place)
{
    const struct pattern_spec *spec = &pattern->spec;
    uint64_t blocks = spec->region / pattern->least;
    uint64_t block;

    for (;;) {
        uint64_t slot = pattern->issued / spec->run;

        if (slot == pattern->slots)
            return false;
        block = permutation_at(&pattern->permutation, slot);
        if (!spec->identical)
            block = block * spec->run + pattern->issued % spec->run;
        pattern->issued++;
        if (block < blocks)
            break;
    }
    place->write = draw_direction(pattern, &pattern->mix);
    place->length = pattern->least;
    place->offset = block * pattern->least;
    return true;
}

/* Steps to the operation at cell_at; what does not reach into the window is passed by. */
static bool next_in_cell(struct pattern *pattern, uint64_t window_start, struct place *place)
{
    while (pattern->cell_at < pattern->cell_end) {
        uint64_t at = pattern->cell_at;
        uint64_t room = pattern->cell_size - at;

        draw_fitting(pattern, &pattern->cell_stream, room, place);
        pattern->cell_at += place->length;
        if (at >= window_start) {
            place->offset = pattern->cell_start + at;
            return true;
        }
    }
    return false;
}

static uint64_t enter_window(struct pattern *pattern, uint64_t slot)
{
    uint64_t cell = slot / CELL_WINDOWS;
    uint64_t start = slot % CELL_WINDOWS * pattern->window_bytes;
    uint64_t rest = pattern_pass_bytes(&pattern->spec) - cell * pattern->cell_bytes;

    pattern->cell_start = cell * pattern->cell_bytes;
    pattern->cell_size = rest < pattern->cell_bytes ? rest : pattern->cell_bytes;
    pattern->cell_at = 0;
    pattern->cell_end = start + pattern->window_bytes;
    if (pattern->cell_end > pattern->cell_size)
        pattern->cell_end = pattern->cell_size;
    random_stream_init(&pattern->cell_stream,
                       random_mix(pattern->spec.seed ^ random_mix(cell + 1)) +
                           pattern->passes_done);
    return start;
}

static bool locate_in_cells(struct pattern *pattern, struct place *place)
{
    uint64_t start = 0;

    for (;;) {
        if (pattern->in_cell && next_in_cell(pattern, start, place))
            return true;
        pattern->in_cell = pattern->issued < pattern->slots;
        if (!pattern->in_cell)
            return false;
        start = enter_window(pattern, permutation_at(&pattern->permutation, pattern->issued++));
    }
}

/* --- one after the other --- */

static uint64_t step_on(const struct pattern *pattern, uint64_t offset, uint32_t length)
{
    int64_t next = (int64_t)offset + (int64_t)length + pattern->spec.hole;

    return next < 0 ? UINT64_MAX : (uint64_t)next;
}

/* Beyond the end of the region it begins anew. The last operation of a pass is cut where sizes
 * vary; a single size stays what it is. */
static bool locate_next(struct pattern *pattern, struct place *place)
{
    const struct pattern_spec *spec = &pattern->spec;
    const struct block_sizes *sizes;
    uint64_t *position;
    uint64_t room;

    place->write = draw_direction(pattern, &pattern->mix);
    sizes = &spec->sizes[place->write];
    place->length =
        sizes->least == sizes->most ? sizes->least : block_sizes_draw(sizes, &pattern->mix);
    position = &pattern->positions[place->write];
    room = *position < spec->region ? spec->region - *position : 0;
    if (place->length > room) {
        room -= room % sizes->step;
        if (room == 0) {
            room = spec->region - spec->region % sizes->step;
            *position = spec->hole < 0 ? room - sizes->least : 0;
            room -= *position;
        }
        if (place->length > room)
            place->length = (uint32_t)room;
    }
    place->offset = *position;
    *position = step_on(pattern, *position, place->length);
    return true;
}

/* --- anywhere --- */

static uint64_t draw_offset(struct pattern *pattern, unsigned direction, uint32_t length)
{
    const struct pattern_spec *spec = &pattern->spec;
    uint64_t align = spec->align[direction] ? spec->align[direction] : spec->sizes[direction].least;
    uint64_t count = (spec->region - length) / align + 1;

    if (!spec->distributions)
        return random_below(&pattern->draw, count) * align;
    return distribution_draw(&spec->distributions[direction], &pattern->draw, count) * align;
}

static bool locate_anywhere(struct pattern *pattern, struct place *place)
{
    const struct pattern_spec *spec = &pattern->spec;
    uint64_t *position;
    unsigned percent;
    bool follow;

    draw_fitting(pattern, &pattern->mix, spec->region, place);
    position = &pattern->positions[place->write];
    percent = spec->random_percent[place->write];
    follow = percent < 100 && random_below(&pattern->draw, 100) >= percent;
    if (pattern->in_run > 0) {
        pattern->in_run--;
        follow = true;
    } else if (!follow && spec->run > 1) {
        pattern->in_run = spec->run - 1;
        pattern->run_offset = UINT64_MAX;
    }
    if (follow && spec->identical && pattern->run_offset <= spec->region - place->length)
        place->offset = pattern->run_offset;
    else if (follow && *position <= spec->region - place->length)
        place->offset = *position;
    else
        place->offset = draw_offset(pattern, place->write, place->length);
    pattern->run_offset = place->offset;
    *position = place->offset + place->length;
    return true;
}

/* --- passes and loops --- */

static void start_pass(struct pattern *pattern)
{
    pattern->issued = 0;
    pattern->in_cell = false;
    if (pattern->slots)
        permutation_init(&pattern->permutation, pattern->slots,
                         random_mix(pattern->spec.seed + pattern->passes_done));
}

static void start_loop(struct pattern *pattern)
{
    const struct pattern_spec *spec = &pattern->spec;

    pattern->bytes_left = spec->amount ? spec->amount : pattern_pass_bytes(spec);
    pattern->operations_left = spec->operations ? spec->operations : UINT64_MAX;
    if (!pattern->varies) {
        /* One number to count down. The last operation of an amount is a whole one. */
        uint64_t operations = (pattern->bytes_left + pattern->least - 1) / pattern->least;

        if (operations < pattern->operations_left)
            pattern->operations_left = operations;
    }
    pattern->positions[0] = spec->hole < 0 ? UINT64_MAX : 0;
    pattern->positions[1] = pattern->positions[0];
    pattern->in_run = 0;
    start_pass(pattern);
}

static void choose_map(struct pattern *pattern)
{
    const struct pattern_spec *spec = &pattern->spec;
    uint32_t most = spec->reads ? spec->sizes[0].most : 0;
    uint64_t bytes = pattern_pass_bytes(spec);

    if (has_one_size(spec)) {
        uint64_t per_slot = spec->run > 1 && !spec->identical ? spec->run : 1;

        pattern->slots = (bytes / pattern->least + per_slot - 1) / per_slot;
        pattern->locate = spec->run > 1 ? locate_run : locate_block;
        return;
    }
    if (spec->writes && spec->sizes[1].most > most)
        most = spec->sizes[1].most;
    pattern->window_bytes = most * CELL_OPERATIONS / CELL_WINDOWS;
    pattern->window_bytes += pattern->step - pattern->window_bytes % pattern->step;
    pattern->cell_bytes = (uint64_t)pattern->window_bytes * CELL_WINDOWS;
    pattern->slots = (bytes + pattern->cell_bytes - 1) / pattern->cell_bytes * CELL_WINDOWS;
    pattern->locate = locate_in_cells;
}

void pattern_start(struct pattern *pattern, const struct pattern_spec *spec)
{
    *pattern = (struct pattern){.spec = *spec};
    assert(spec->reads || spec->writes);
    pattern->least = least_size(spec);
    pattern->step = common_step(spec);
    pattern->mixes = spec->reads && spec->writes;
    pattern->varies = !has_one_size(spec);
    assert(pattern->least > 0 && spec->region >= pattern->least);
    random_stream_init(&pattern->mix, random_mix(~spec->seed));
    random_stream_init(&pattern->draw, random_mix(spec->seed ^ 0x5a5a5a5a));
    if (!spec->random)
        pattern->locate = locate_next;
    else if (has_map(spec))
        choose_map(pattern);
    else
        pattern->locate = locate_anywhere;
    start_loop(pattern);
}

/* The loop is over, or only a pass of it. False: that was the last one. */
static bool start_next(struct pattern *pattern)
{
    bool within = pattern->bytes_left > 0 && pattern->operations_left > 0;

    if (pattern->spec.loops && pattern->loops_done == pattern->spec.loops)
        return false;
    pattern->passes_done++;
    if (within && pattern->spec.amount) {
        /* The amount is more than a pass. */
        start_pass(pattern);
        return true;
    }
    pattern->loops_done++;
    if (pattern->loops_done == pattern->spec.loops)
        return false;
    start_loop(pattern);
    return true;
}

bool pattern_next(struct pattern *pattern, struct place *place)
{
    while (pattern->operations_left == 0 || pattern->bytes_left == 0 ||
           !pattern->locate(pattern, place))
        if (!start_next(pattern))
            return false;
    pattern->operations_left--;
    if (pattern->varies)
        pattern->bytes_left -=
            place->length < pattern->bytes_left ? place->length : pattern->bytes_left;
    return true;
}

/* What is left of the pass, at most, in the order of the map. */
static unsigned map_offsets(struct pattern *pattern, uint64_t *offsets, unsigned room)
{
    uint64_t count = pattern->slots - pattern->issued;

    if (count > pattern->operations_left)
        count = pattern->operations_left;
    if (count > room)
        count = room;
    for (unsigned i = 0; i < count; i++)
        offsets[i] = permutation_at(&pattern->permutation, pattern->issued + i) * pattern->least;
    pattern->issued += count;
    pattern->operations_left -= count;
    return (unsigned)count;
}

unsigned pattern_next_offsets(struct pattern *pattern, uint64_t *offsets, unsigned room)
{
    unsigned count = 0;
    struct place place;

    assert(!pattern->varies && !pattern->mixes);
    if (pattern->locate == locate_block)
        count = map_offsets(pattern, offsets, room);
    while (count < room && pattern_next(pattern, &place))
        offsets[count++] = place.offset;
    return count;
}
