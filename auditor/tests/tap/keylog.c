/* What TLS libraries have in common, for the test of the locator: a function that is called with the labels of the NSS
 * key-log form and finds the client random in a structure. Compiled in many ways; its symbols tell where it is. */
#include <stddef.h>
#include <string.h>

struct random_holder { char before[0x90]; unsigned char client_random[32]; };
struct session {
    long version;
    struct random_holder *holder;
    void (*callback)(const struct session *, const char *line);
    char before[0x140];
    unsigned char client_random[32];
    unsigned char master[48];
};

#ifdef INLINE
#define KEEP static inline __attribute__((always_inline))
#else
#define KEEP __attribute__((noinline))
#endif

KEEP int keylog_int(const char *label, struct session *s, const unsigned char *parameter1,
        size_t parameter1_len, const unsigned char *parameter2, size_t parameter2_len) {
    char line[256];
    char *cursor = line;
    if (s->callback == NULL) return 1;
    for (const char *c = label; *c && cursor < line + 100; ) *cursor++ = *c++;
    for (size_t i = 0; i < parameter1_len; i++) *cursor++ = "0123456789abcdef"[parameter1[i] >> 4];
    for (size_t i = 0; i < parameter2_len && i < 64; i++) *cursor++ = "0123456789abcdef"[parameter2[i] & 15];
    *cursor = 0;
    s->callback(s, line);
    return 1;
}

#ifdef EMBEDDED
#define RANDOM(s) (s)->client_random
#else
#define RANDOM(s) (s)->holder->client_random
#endif

__attribute__((noinline, noipa)) int log_secret(struct session *s, const char *label, const unsigned char *secret, size_t len) {
    return keylog_int(label, s, RANDOM(s), 32, secret, len);
}

/* A second function that takes labels: it must not be taken for the one. */
__attribute__((noinline, noipa)) size_t derive(struct session *s, const char *label, unsigned char *out) {
    size_t n = strlen(label);
    for (size_t i = 0; i < 32; i++) out[i] = (unsigned char)(label[i % n] ^ s->master[i]);
    return n;
}

int finished(struct session *s) {
    return s->version > 0x303 || log_secret(s, "CLIENT_RANDOM", s->master, sizeof s->master);
}

int handshake(struct session *s, int server) {
    unsigned char secret[48];
    const char *label = server ? "SERVER_HANDSHAKE_TRAFFIC_SECRET" : "CLIENT_HANDSHAKE_TRAFFIC_SECRET";
    derive(s, "derived", secret);
    if (!log_secret(s, label, secret, 32)) return 0;
    derive(s, "exp master", secret);
    if (!log_secret(s, "EXPORTER_SECRET", secret, 32)) return 0;
    derive(s, "c ap traffic", secret);
    return log_secret(s, "CLIENT_TRAFFIC_SECRET_0", secret, 32);
}

/* Programs that read key logs compare with the labels: nobody who compares must be taken for the one. */
int reads(const char *line) {
    if (strncmp(line, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", 31) == 0) return 1;
    if (strncmp(line, "SERVER_HANDSHAKE_TRAFFIC_SECRET", 31) == 0) return 2;
    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0", strlen(line)) == 0) return 3;
    return strcmp(line, "CLIENT_RANDOM") == 0 || strcmp(line, "EXPORTER_SECRET") == 0;
}

#ifndef SHARED
int main(int argc, char **argv) {
    struct session s;
    memset(&s, argc, sizeof s);
    s.callback = NULL;
    return finished(&s) + handshake(&s, argv[0] != NULL) + reads(argv[0]);
}
#endif
