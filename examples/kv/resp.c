/* SPDX-License-Identifier: MIT */
#include "resp.h"

/* A mark, the number of the greatest length, "\r\n", and leeway for leading zeros. */
enum { LONGEST_HEADER = 32 };

void kv_resp_init(struct kv_resp *resp, struct kv_heap *heap)
{
    *resp = (struct kv_resp){.heap = heap};
}

void kv_resp_reset(struct kv_resp *resp)
{
    for (size_t i = 0; i < resp->count; i++)
        kv_heap_free(resp->heap, (char *)resp->arguments[i].data);
    kv_heap_free(resp->heap, resp->filling);
    kv_heap_free(resp->heap, resp->arguments);
    kv_resp_init(resp, resp->heap);
}

static void consume(struct kv_bytes *input, size_t bytes)
{
    input->data += bytes;
    input->size -= bytes;
}

/* A line of one mark and one number. KV_RESP_REQUEST means: here it is. */
static enum kv_resp_step parse_header(struct kv_bytes *input, char mark, int64_t *number)
{
    if (input->size == 0)
        return KV_RESP_STARVED;
    if (input->data[0] != mark)
        return KV_RESP_INVALID;
    size_t seen = input->size < LONGEST_HEADER ? input->size : LONGEST_HEADER;
    const char *end = memchr(input->data, '\n', seen);
    if (!end)
        return seen < LONGEST_HEADER ? KV_RESP_STARVED : KV_RESP_INVALID;
    if (end - input->data < 2 || end[-1] != '\r')
        return KV_RESP_INVALID;
    struct kv_bytes digits = {input->data + 1, (size_t)(end - input->data) - 2};
    if (!kv_bytes_to_number(digits, number))
        return KV_RESP_INVALID;
    consume(input, (size_t)(end - input->data) + 1);
    return KV_RESP_REQUEST;
}

/* "*3\r\n": a request of three arguments begins. Empty requests are passed over. */
static enum kv_resp_step begin_request(struct kv_resp *resp, struct kv_bytes *input,
                                       const char **error)
{
    int64_t count = 0;
    while (count <= 0) {
        *error = "ERR Protocol error: expected '*' and the number of arguments";
        enum kv_resp_step step = parse_header(input, '*', &count);
        if (step != KV_RESP_REQUEST)
            return step;
    }
    *error = "ERR Protocol error: too many arguments";
    if (count > KV_MOST_ARGUMENTS)
        return KV_RESP_INVALID;

    *error = "ERR out of memory";
    resp->arguments = kv_heap_alloc(resp->heap, (size_t)count * sizeof(struct kv_bytes));
    if (!resp->arguments)
        return KV_RESP_INVALID;
    resp->expected = (size_t)count;
    return KV_RESP_REQUEST;
}

/*
 * "$5\r\n": an argument of five bytes begins. Its block takes the "\r\n" behind it too.
 */
static enum kv_resp_step begin_argument(struct kv_resp *resp, struct kv_bytes *input,
                                        const char **error)
{
    int64_t size;
    *error = "ERR Protocol error: expected '$' and the length of an argument";
    enum kv_resp_step step = parse_header(input, '$', &size);
    if (step != KV_RESP_REQUEST)
        return step;
    *error = "ERR Protocol error: invalid bulk length";
    if (size < 0 || (uint64_t)size > KV_MOST_REQUEST_BYTES - resp->request_bytes)
        return KV_RESP_INVALID;

    *error = "ERR out of memory";
    resp->filling = kv_heap_alloc(resp->heap, (size_t)size + 2);
    if (!resp->filling)
        return KV_RESP_INVALID;
    resp->filling_size = (size_t)size + 2;
    resp->filled = 0;
    resp->request_bytes += (size_t)size;
    return KV_RESP_REQUEST;
}

static enum kv_resp_step fill_argument(struct kv_resp *resp, struct kv_bytes *input,
                                       const char **error)
{
    size_t bytes = resp->filling_size - resp->filled;
    if (bytes > input->size)
        bytes = input->size;
    memcpy(resp->filling + resp->filled, input->data, bytes);
    consume(input, bytes);
    resp->filled += bytes;
    if (resp->filled < resp->filling_size)
        return KV_RESP_STARVED;

    *error = "ERR Protocol error: an argument is longer than its length";
    size_t size = resp->filling_size - 2;
    if (memcmp(resp->filling + size, "\r\n", 2) != 0)
        return KV_RESP_INVALID;
    resp->arguments[resp->count++] = (struct kv_bytes){resp->filling, size};
    resp->filling = NULL;
    return KV_RESP_REQUEST;
}

enum kv_resp_step kv_resp_parse(struct kv_resp *resp, struct kv_bytes *input,
                                const char **error)
{
    enum kv_resp_step step = KV_RESP_REQUEST;
    if (resp->expected == 0)
        step = begin_request(resp, input, error);
    while (step == KV_RESP_REQUEST && resp->count < resp->expected) {
        if (!resp->filling)
            step = begin_argument(resp, input, error);
        if (step == KV_RESP_REQUEST)
            step = fill_argument(resp, input, error);
    }
    return step;
}
