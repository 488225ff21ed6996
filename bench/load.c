/* Load, and what came of it, as one line of JSON. One thread, epoll, HTTP/1.1 on 127.0.0.1.
 *
 *   load PORT PATH BODYFILE [--header "Name: value"]... and one of
 *     --closed N --seconds S            N connections, each asks again as soon as it is answered
 *     --rate R --closed N --seconds S   R requests a second, come what may, over at most N connections;
 *                                       latency counts from when the request was due, so queueing shows
 *     --streams N --ramp-ms M           N streams at once, begun over M ms, each read to its end;
 *     [--seconds S]                     given up after S seconds (default 120)
 *
 * A chunk is an event whose content carries a stamp ("~t" and 19 digits, see mock.c); its delay is from that stamp to
 * its arrival here. Anything but a whole answer with status 200 is an error.
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

#define IN_MAX (64 * 1024)
#define STAMP 21 /* "~t" and 19 digits */

typedef struct {
    double *at;
    size_t n, cap;
} series;

typedef struct {
    int fd, busy, headed, done_seen;
    uint64_t asked;
    size_t in_len, sent, chunks;
    char in[IN_MAX + 1];
} conn;

static series latency, delay, first;
static int poll_fd, port, streaming, open_loop, chunks_total, wanted, idle_n;
static long asked_n, errors, streams_done;
static char *request;
static size_t request_len;
static conn **conns, **idle;
static char why[200];

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void note(series *s, double value) {
    if (s->n == s->cap) s->at = realloc(s->at, (s->cap = s->cap ? 2 * s->cap : 4096) * sizeof(double));
    s->at[s->n++] = value;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_series(const char *name, series *s) {
    qsort(s->at, s->n, sizeof(double), by_size);
    const double at[] = {0.5, 0.9, 0.99, 1.0};
    const char *names[] = {"p50", "p90", "p99", "max"};
    printf(", \"%s\": {\"n\": %zu", name, s->n);
    for (int i = 0; i < 4 && s->n; i++) printf(", \"%s\": %.4f", names[i], s->at[(size_t)(at[i] * (double)(s->n - 1))]);
    printf("}");
}

static void failed(const char *reason) {
    if (!errors++) snprintf(why, sizeof why, "%.199s", reason);
}

static void dial(conn *c) {
    int on = 1;
    struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connect(c->fd, (struct sockaddr *)&there, sizeof there);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static void hang_up(conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void send_rest(conn *c) {
    while (c->busy && c->sent < request_len) {
        ssize_t n = send(c->fd, request + c->sent, request_len - c->sent, MSG_NOSIGNAL);
        if (n <= 0) return; /* not yet, or told by a read */
        c->sent += (size_t)n;
    }
}

static void ask(conn *c, uint64_t due) {
    c->busy = 1;
    c->headed = c->done_seen = 0;
    c->in_len = c->sent = c->chunks = 0;
    c->asked = due;
    asked_n++;
    if (c->fd < 0) dial(c);
    send_rest(c);
}

static void answered(conn *c, int whole) {
    c->busy = 0;
    if (whole) {
        note(&latency, (double)(now_ns() - c->asked) / 1e6);
        streams_done += streaming;
    } else {
        hang_up(c);
    }
    if (open_loop) idle[idle_n++] = c;
}

/* Count the events in what has arrived, leaving what is not whole yet. */
static void count_chunks(conn *c, uint64_t now) {
    char *from = c->in, *end = c->in + c->in_len, *hit;
    while ((hit = memmem(from, (size_t)(end - from), "~t", 2)) && end - hit >= STAMP) {
        uint64_t written = strtoull(hit + 2, NULL, 10);
        if (!c->chunks++) note(&first, (double)(now - c->asked) / 1e6);
        if (written && written <= now) note(&delay, (double)(now - written) / 1e6);
        chunks_total++;
        from = hit + STAMP;
    }
    if (memmem(from, (size_t)(end - from), "[DONE]", 6)) c->done_seen = 1;
    size_t keep = (size_t)(end - from) < 32 ? (size_t)(end - from) : 32;
    memmove(c->in, end - keep, keep);
    c->in_len = keep;
}

static int ends_with(conn *c, const char *text, size_t n) {
    return c->in_len >= n && !memcmp(c->in + c->in_len - n, text, n);
}

static void read_whole(conn *c, uint64_t now) {
    c->in[c->in_len] = 0;
    char *head_end = c->headed ? NULL : memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!c->headed && !head_end) return;
    if (!c->headed && memcmp(c->in, "HTTP/1.1 200", 12)) {
        failed(c->in);
        answered(c, 0);
        return;
    }
    if (streaming) {
        c->headed = 1;
        count_chunks(c, now);
        if (c->done_seen && ends_with(c, "\r\n0\r\n\r\n", 7)) answered(c, 1);
        return;
    }
    char *field = strcasestr(c->in, "\r\ncontent-length:");
    if (field && field < head_end) {
        if (c->in_len >= (size_t)(head_end + 4 - c->in) + strtoul(field + 17, NULL, 10)) answered(c, 1);
    } else if (ends_with(c, "\r\n0\r\n\r\n", 7)) {
        answered(c, 1);
    }
}

static void take(conn *c) {
    for (;;) {
        if (c->in_len == IN_MAX) {
            failed("an answer larger than 64 kB");
            answered(c, 0);
            return;
        }
        ssize_t n = recv(c->fd, c->in + c->in_len, IN_MAX - c->in_len, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            int whole = streaming && c->done_seen && n == 0; /* a body that ends with the connection */
            if (c->busy && !whole) failed(n ? strerror(errno) : "the connection closed before the answer was whole");
            if (c->busy) answered(c, whole);
            hang_up(c);
            return;
        }
        c->in_len += (size_t)n;
        if (c->busy) read_whole(c, now_ns());
        if (!c->busy || c->fd < 0) return; /* edge: what comes after an answer comes with the next one */
    }
}

static char *slurp(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f) return perror(path), exit(2), NULL;
    char *text = malloc(4 << 20);
    *n = fread(text, 1, 4 << 20, f);
    fclose(f);
    return text;
}

static void prepare(const char *path, const char *file, const char *headers) {
    size_t n;
    char *body = slurp(file, &n);
    request = malloc(n + 8192);
    request_len = (size_t)sprintf(request,
                                  "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n%s"
                                  "Content-Length: %zu\r\n\r\n",
                                  path, port, headers, n);
    memcpy(request + request_len, body, n);
    request_len += n;
    free(body);
}

int main(int count, char **words) {
    char headers[4096] = "";
    double seconds = 0, rate = 0, ramp_ms = 0;
    if (count < 4) return fprintf(stderr, "usage: load PORT PATH BODYFILE …, see load.c\n"), 2;
    for (int i = 4; i + 1 < count; i += 2) {
        const char *value = words[i + 1];
        if (!strcmp(words[i], "--header")) strcat(strcat(headers, value), "\r\n");
        else if (!strcmp(words[i], "--seconds")) seconds = atof(value);
        else if (!strcmp(words[i], "--rate")) rate = atof(value), open_loop = 1;
        else if (!strcmp(words[i], "--ramp-ms")) ramp_ms = atof(value);
        else if (!strcmp(words[i], "--closed")) wanted = atoi(value);
        else if (!strcmp(words[i], "--streams")) wanted = atoi(value), streaming = 1;
        else return fprintf(stderr, "load: unknown option %s\n", words[i]), 2;
    }
    if (wanted < 1) return fprintf(stderr, "load: say --closed N or --streams N\n"), 2;
    if (!seconds) seconds = 120;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    port = atoi(words[1]);
    prepare(words[2], words[3], headers);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc((size_t)wanted, sizeof *conns);
    idle = calloc((size_t)wanted, sizeof *idle);
    for (int i = 0; i < wanted; i++) {
        conns[i] = malloc(sizeof **conns);
        conns[i]->fd = -1;
        conns[i]->busy = 0;
        if (open_loop) idle[idle_n++] = conns[i];
    }
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), now = start;
    uint64_t due = start, step = open_loop ? (uint64_t)(1e9 / rate) : (uint64_t)(ramp_ms * 1e6 / wanted);
    int begun = 0;
    struct epoll_event ready[256];
    while ((now = now_ns()) < end) {
        if (open_loop) {
            for (; idle_n && due <= now; due += step) ask(idle[--idle_n], due);
        } else {
            for (; begun < wanted && due <= now; due += step) ask(conns[begun++], streaming ? now : now_ns());
        }
        if (streaming && streams_done + errors >= wanted) break;
        int pacing = open_loop || begun < wanted;
        int64_t gap = (int64_t)(due - now) / 1000000;
        struct timespec wait = {0, 200000000};
        if (pacing && gap < 200) wait.tv_nsec = due <= now ? (idle_n || !open_loop ? 0 : 1000000) : (int64_t)(due - now);
        int n = epoll_pwait2(poll_fd, ready, 256, &wait, NULL);
        if (n < 0 && errno != EINTR) return perror("epoll_pwait2"), 1;
        for (int i = 0; i < n; i++) {
            conn *c = ready[i].data.ptr;
            if (ready[i].events & EPOLLOUT) send_rest(c);
            if (c->fd >= 0 && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take(c);
            if (!streaming && !open_loop && !c->busy) ask(c, now_ns());
        }
    }
    double took = (double)(now_ns() - start) / 1e9;
    long open = streaming ? wanted - streams_done - errors : 0;
    if (open > 0) failed("not at its end when time was up"), errors += open - 1;
    for (char *p = why; *p; p++)
        if (*p < ' ' || *p == '"' || *p == '\\') *p = ' ';
    printf("{\"asked\": %ld, \"requests\": %zu, \"errors\": %ld, \"seconds\": %.3f, \"per_second\": %.1f, \"chunks\": %d",
           asked_n, latency.n, errors, took, (double)latency.n / took, chunks_total);
    print_series("latency_ms", &latency);
    print_series("delay_ms", &delay);
    print_series("first_ms", &first);
    printf(", \"why\": \"%s\"}\n", why);
    return 0;
}
