/* Calls a function that looks like a TLS library's with arguments that lead nowhere. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct session { char before[0x40]; unsigned char client_random[32]; unsigned char secret[96]; };

volatile size_t sink;

__attribute__((noinline, noipa)) int sum(const char *label, struct session *s, const unsigned char *random, size_t len) {
    sink = (size_t)label ^ (size_t)s ^ (size_t)random ^ len;
    return 1;
}

__attribute__((noinline, noipa)) int log_secret(struct session *s, const char *label, const unsigned char *secret, size_t len) {
    sink = (size_t)secret + len;
    return sum(label, s, s->client_random, 32);
}

int main(void) {
    struct session s;
    memset(&s, 7, sizeof s);
    puts("ready");
    fflush(stdout);
    (void)getchar();
    struct session *nowhere = (struct session *)0xdead0000;
    log_secret(&s, "CLIENT_RANDOM", s.secret, 48);            /* honest */
    log_secret(&s, "EXPORTER_SECRET", s.secret, 32);          /* honest, and not wanted */
    log_secret(&s, (const char *)8, s.secret, 48);            /* unreadable label */
    log_secret(&s, "CLIENT_TRAFFIC_SECRET_0", (const unsigned char *)~0ul, 32); /* unreadable secret */
    log_secret(&s, "CLIENT_RANDOM", s.secret, 0);             /* no secret */
    log_secret(&s, "CLIENT_RANDOM", s.secret, (size_t)-1);    /* more than there is */
    log_secret(&s, "A_LABEL_THAT_IS_LONGER_THAN_ANY_THAT_IS_KNOWN", s.secret, 32);
    log_secret(nowhere, "CLIENT_RANDOM", s.secret, 48);       /* no session: the secret without its connection's name */
    return 0;
}
