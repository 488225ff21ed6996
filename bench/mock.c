/* A provider that costs next to nothing: so that what is measured is the proxy in front of it.
 *
 *   mock PORT        one thread, epoll, keep-alive, HTTP/1.1 on 127.0.0.1
 *
 * A POST is answered as OpenAI answers chat completions: about 1 kB of JSON, or, when the body says "stream":true,
 * a stream of realistic chunks, then usage, then [DONE]. Every chunk carries the moment it was written (CLOCK_MONOTONIC,
 * ns, as "~t" and 19 digits in its content), from which the load generator knows how long the relay took.
 * GET /set/CHUNKS/RATE   chunks per stream, and per second of each stream (0: as fast as they are taken)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define IN_MAX (256 * 1024)
#define OUT_MAX (32 * 1024)

typedef struct conn {
    int fd, streaming, left;
    uint64_t due;
    struct conn *before, *after; /* the streams, by when they are due: one rate for all, so it is a queue */
    size_t in_len, in_cap, out_len, out_at;
    char *in, *out;
} conn;

static conn line_ = {.before = &line_, .after = &line_};
static int poll_fd, chunks = 250, rate = 50;

static const char ANSWER[] =
    "{\"id\":\"chatcmpl-Bx7mock0000000000000000000001\",\"object\":\"chat.completion\",\"created\":1780000000,"
    "\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
    "\"The way a request takes is decided before a byte of it is sent. A gateway that knows its routes by heart has "
    "little to do: it finds the one that fits, holds what it may cost, and passes the answer on as it comes. What is "
    "left is the network, and the patience of whoever waits at the end of it for the first word to arrive.\","
    "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":57,"
    "\"completion_tokens\":71,\"total_tokens\":128,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
    "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
    "\"rejected_prediction_tokens\":0}},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_34a54ae93c\"}";

#define ENVELOPE                                                                                             \
    "data: {\"id\":\"chatcmpl-Bx7mock0000000000000000000002\",\"object\":\"chat.completion.chunk\","         \
    "\"created\":1780000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\","              \
    "\"system_fingerprint\":\"fp_34a54ae93c\","
static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    "x-request-id: req_mock\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char ROLE[] =
    ENVELOPE "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
             "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
static const char LAST[] =
    ENVELOPE "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void leave_line(conn *c) {
    if (!c->before) return;
    c->before->after = c->after;
    c->after->before = c->before;
    c->before = c->after = NULL;
}

static void join_line(conn *c) {
    c->before = line_.before;
    c->after = &line_;
    line_.before->after = c;
    line_.before = c;
}

static void hang_up(conn *c) {
    leave_line(c);
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void watch(conn *c, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

/* Send what is pending. 0: all of it went out; 1: some is left, and we are told when to go on; -1: the peer is gone. */
static int flush(conn *c) {
    while (c->out_at < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            watch(c, EPOLLIN | EPOLLOUT);
            return 1;
        }
        if (n < 0) return -1;
        c->out_at += (size_t)n;
    }
    c->out_at = c->out_len = 0;
    return 0;
}

static void put(conn *c, const char *data, size_t n) {
    memcpy(c->out + c->out_len, data, n);
    c->out_len += n;
}

static void put_chunk(conn *c, const char *data, size_t n) {
    c->out_len += (size_t)sprintf(c->out + c->out_len, "%zx\r\n", n);
    put(c, data, n);
    put(c, "\r\n", 2);
}

static void put_next(conn *c) {
    char text[1024];
    if (c->left == chunks + 1) {
        put_chunk(c, ROLE, sizeof ROLE - 1);
    } else if (c->left > 0) {
        int n = snprintf(text, sizeof text,
                         ENVELOPE "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" ~t%019llu\"},\"logprobs\":null,"
                                  "\"finish_reason\":null}],\"usage\":null}\n\n",
                         (unsigned long long)now_ns());
        put_chunk(c, text, (size_t)n);
    } else {
        int n = snprintf(text, sizeof text,
                         ENVELOPE "\"choices\":[],\"usage\":{\"prompt_tokens\":57,\"completion_tokens\":%d,"
                                  "\"total_tokens\":%d,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n",
                         chunks, chunks + 57);
        put_chunk(c, LAST, sizeof LAST - 1);
        put_chunk(c, text, (size_t)n);
        put_chunk(c, "data: [DONE]\n\n", 14);
        put(c, "0\r\n\r\n", 5);
        c->streaming = 0;
    }
    c->left--;
}

static int answer_next(conn *c);

/* Go on with a stream: paced, or as fast as it is taken. */
static int go_on(conn *c) {
    do {
        do put_next(c);
        while (rate == 0 && c->streaming && c->out_len < OUT_MAX / 2);
        int state = flush(c);
        if (state) return state; /* a paced stream that cannot be written waits for the peer, out of the line */
    } while (rate == 0 && c->streaming);
    if (!c->streaming) return answer_next(c);
    c->due += 1000000000ull / (uint64_t)rate;
    join_line(c);
    return 0;
}

static int answer(conn *c, const char *head, const char *body, size_t length) {
    unsigned a, b;
    if (sscanf(head, "GET /set/%u/%u", &a, &b) == 2) {
        chunks = (int)a;
        rate = (int)b;
        put(c, "HTTP/1.1 204 No Content\r\n\r\n", 27);
        return flush(c);
    }
    if (memmem(body, length, "\"stream\":true", 13) || memmem(body, length, "\"stream\": true", 14)) {
        c->streaming = 1;
        c->left = chunks + 1;
        c->due = now_ns();
        put(c, STREAM_HEAD, sizeof STREAM_HEAD - 1);
        return go_on(c);
    }
    c->out_len += (size_t)sprintf(c->out + c->out_len,
                                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_mock\r\n"
                                  "Content-Length: %zu\r\n\r\n",
                                  sizeof ANSWER - 1);
    put(c, ANSWER, sizeof ANSWER - 1);
    return flush(c);
}

/* Answer the requests that have arrived whole. -1: the connection is done for. */
static int answer_next(conn *c) {
    while (!c->streaming && c->out_len == 0 && c->in_len) {
        char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
        if (!end) return 0;
        *end = 0;
        size_t head = (size_t)(end - c->in) + 4, length = 0, used = 0;
        char *field = strcasestr(c->in, "\r\ncontent-length:");
        if (field) {
            length = strtoul(field + 17, NULL, 10);
            used = head + length;
        } else if (strcasestr(c->in, "\r\ntransfer-encoding:")) {
            char *stop = memmem(c->in + head, c->in_len - head, "0\r\n\r\n", 5);
            used = stop ? (size_t)(stop - c->in) + 5 : c->in_len + 1;
            length = used - head;
        } else {
            used = head;
        }
        if (used > c->in_len) {
            *end = '\r';
            return 0;
        }
        if (answer(c, c->in, c->in + head, length) < 0) return -1;
        memmove(c->in, c->in + used, c->in_len - used);
        c->in_len -= used;
    }
    return 0;
}

static int take(conn *c) {
    if (c->in_len == c->in_cap) {
        if (c->in_cap >= IN_MAX) return -1;
        c->in = realloc(c->in, c->in_cap *= 2);
    }
    ssize_t n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
    if (n <= 0) return n < 0 && errno == EAGAIN ? 0 : -1;
    c->in_len += (size_t)n;
    return answer_next(c);
}

static int writable(conn *c) {
    int state = flush(c);
    if (state) return state;
    watch(c, EPOLLIN);
    if (!c->streaming) return answer_next(c);
    if (!c->before) return go_on(c);
    return 0;
}

static void welcome(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        conn *c = calloc(1, sizeof *c);
        *c = (conn){.fd = fd, .in_cap = 4096, .in = malloc(4096), .out = malloc(OUT_MAX)};
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int count, char **words) {
    if (count != 2) return fprintf(stderr, "usage: mock PORT\n"), 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)atoi(words[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 4096)) return perror("mock"), 1;
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ready[256];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int wait_ms = -1;
        if (line_.after != &line_) {
            int64_t ns = (int64_t)(line_.after->due - now_ns());
            wait_ms = ns <= 0 ? 0 : (int)(ns / 1000000 + 1);
        }
        int n = epoll_wait(poll_fd, ready, 256, wait_ms);
        for (int i = 0; i < n; i++) {
            conn *c = ready[i].data.ptr;
            if (!c) {
                welcome(listener);
                continue;
            }
            int state = 0;
            if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) state = take(c);
            if (state >= 0 && ready[i].events & EPOLLOUT) state = writable(c);
            if (state < 0) hang_up(c);
        }
        uint64_t now = now_ns();
        while (line_.after != &line_ && line_.after->due <= now) {
            conn *c = line_.after;
            leave_line(c);
            if (go_on(c) < 0) hang_up(c);
        }
    }
}
