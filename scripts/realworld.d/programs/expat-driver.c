/*
 * Has libexpat loaded and parses documents in two threads all the time, with a rest of a millisecond
 * behind each, so that there are moments in which no thread is in the library. Reads lines:
 *   stop      stops a parser that was not started
 *   negative  parses a buffer of length -1
 *   count     how many documents were parsed, and how many gave another result than they should
 *   more      the same, when at least ten more have been parsed
 * Ends with its standard input.
 */
#include <expat.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static atomic_ulong parsed, wrong;

struct seen {
    int elements, attributes;
    size_t text;
};

static void XMLCALL on_start(void *data, const XML_Char *name, const XML_Char **attr)
{
    struct seen *s = data;
    (void)name;
    s->elements++;
    for (; *attr; attr += 2)
        s->attributes++;
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
    (void)data;
    (void)name;
}

static void XMLCALL on_text(void *data, const XML_Char *text, int n)
{
    struct seen *s = data;
    (void)text;
    s->text += (size_t)n;
}

static int document(char *to, size_t room, int items)
{
    int n = snprintf(to, room, "<?xml version='1.0'?><!DOCTYPE list [<!ENTITY e 'entity'>]><list>");
    for (int i = 0; i < items; i++)
        n += snprintf(to + n, room - (size_t)n, "<item id='%d' kind=\"x\">text &e; &#65;</item>", i);
    return n + snprintf(to + n, room - (size_t)n, "</list>");
}

static __attribute__((noreturn)) void *parse(void *arg)
{
    enum { ITEMS = 50, ROOM = 8192 };
    char text[ROOM];
    int n = document(text, sizeof text, ITEMS);
    (void)arg;
    for (;;) {
        struct seen s = {0};
        XML_Parser p = XML_ParserCreate(NULL);
        XML_SetUserData(p, &s);
        XML_SetElementHandler(p, on_start, on_end);
        XML_SetCharacterDataHandler(p, on_text);
        void *buffer = XML_GetBuffer(p, n);
        memcpy(buffer, text, (size_t)n);
        int ok = XML_ParseBuffer(p, n, 1) == XML_STATUS_OK;
        XML_ParserFree(p);
        /* "text entity A" is 13 bytes. */
        if (!ok || s.elements != ITEMS + 1 || s.attributes != 2 * ITEMS || s.text != 13 * ITEMS)
            atomic_fetch_add(&wrong, 1);
        atomic_fetch_add(&parsed, 1);
        struct timespec rest = {.tv_nsec = 1000 * 1000};
        if (nanosleep(&rest, NULL) < 0)
            atomic_fetch_add(&wrong, 1); /* nothing sends this program signals */
    }
}

static void say_result(const char *what, XML_Parser p, int status)
{
    const char *text = XML_ErrorString(XML_GetErrorCode(p));
    printf("%s status %d error %d %s\n", what, status, XML_GetErrorCode(p), text ? text : "-");
}

static void stop(void)
{
    XML_Parser p = XML_ParserCreate(NULL);
    say_result("stop", p, XML_StopParser(p, XML_FALSE));
    XML_ParserFree(p);
}

static void negative(void)
{
    XML_Parser p = XML_ParserCreate(NULL);
    memset(XML_GetBuffer(p, 64), ' ', 64);
    say_result("negative", p, XML_ParseBuffer(p, -1, 0));
    XML_ParserFree(p);
}

static void count(void) { printf("parsed %lu wrong %lu\n", atomic_load(&parsed), atomic_load(&wrong)); }

static void more(void)
{
    unsigned long until = atomic_load(&parsed) + 10;
    while (atomic_load(&parsed) < until)
        sched_yield();
    count();
}

int main(void)
{
    static const struct {
        const char *line;
        void (*run)(void);
    } commands[] = {{"stop\n", stop}, {"negative\n", negative}, {"count\n", count}, {"more\n", more}};
    char line[32];
    pthread_t t;
    for (int i = 0; i < 2; i++)
        if (pthread_create(&t, NULL, parse, NULL) != 0)
            return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
            if (strcmp(line, commands[i].line) == 0)
                commands[i].run();
        fflush(stdout);
    }
    return 0;
}
