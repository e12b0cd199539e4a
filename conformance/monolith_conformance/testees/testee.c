/* A program under test in C99 without dependencies: sgd, adagrad and ftrl on one kind of table, JSON lines.
 *
 *     cc -O2 -std=c99 -ffp-contract=off -o testee testee.c -lm
 *     monolith-ref conform run --backend "testee:./testee" --encoding json
 *
 * One request a line on standard input, one reply a line on standard output. Start your own port from here: replace
 * update() and the row store by calls into it. Products and sums round one by one: no fused multiply-add. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#pragma STDC FP_CONTRACT OFF

enum { ADAGRAD = 1, SGD = 2, FTRL = 3, MAXSEG = 8 };
typedef struct { int rule, dim; float acc, decay, beta, l1, l2; } Segment;
typedef struct { int64_t id; float *row; uint32_t time; } Slot; /* row = embedding, then two state floats an element */
typedef struct { char name[64]; Segment seg[MAXSEG]; int nseg, dim; Slot *slot; size_t cap, size; } Table;
static Table tables[64];
static int ntables, l1_by_sign_bit;

/* -- the wire: look for keys in a line, print bit patterns ------------------------------------------------------- */
static const char *after(const char *line, const char *key) { const char *p = strstr(line, key); return p ? p + strlen(key) : NULL; }
static int64_t number(const char *line, const char *key) { const char *p = after(line, key); return p ? strtoll(p, NULL, 10) : 0; }
static float from_bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static void put_floats(const float *f, size_t n) {
  for (size_t i = 0; i < n; i++) { uint32_t u; memcpy(&u, f + i, 4); printf(i ? " %08x" : "%08x", u); }
}
static size_t floats(const char *line, const char *key, float **out) { /* "floats":"3f800000 ..." */
  const char *p = after(line, key); size_t n = 0;
  *out = malloc(p ? (strcspn(p, "\"") / 9 + 1) * sizeof **out : 1);
  for (; p && *p != '"'; p += *p == ' ') { (*out)[n++] = from_bits((uint32_t)strtoul(p, (char **)&p, 16)); }
  return n;
}
static size_t id_list(const char *line, int64_t **out) { /* "ids":["1","-2"] */
  const char *p = after(line, "\"ids\":["); size_t n = 0;
  *out = malloc(p ? (strcspn(p, "]") / 4 + 1) * sizeof **out : 1);
  for (; p && *p != ']'; p += strcspn(p, ",]"), p += *p == ',') (*out)[n++] = strtoll(p + 1, NULL, 10);
  return n;
}

/* -- the table's configuration: protobuf, of which only the fields below matter ----------------------------------- */
typedef struct { const uint8_t *p, *end; } Bytes;
static uint64_t varint(Bytes *b) { uint64_t v = 0; for (int s = 0; b->p < b->end && s < 64; s += 7) { v |= (uint64_t)(*b->p & 127) << s; if (!(*b->p++ & 128)) break; } return v; }
static int field(Bytes *b, Bytes *part, uint64_t *value) { /* number of the next field, 0 at the end */
  if (b->p >= b->end) return 0;
  uint64_t key = varint(b);
  if ((key & 7) == 0) *value = varint(b);
  else if ((key & 7) == 5) { uint32_t u; memcpy(&u, b->p, 4); *value = u; b->p += 4; }
  else if ((key & 7) == 2) { uint64_t n = varint(b); part->p = b->p; part->end = b->p += n; }
  else return 0;
  return (int)(key >> 3);
}
static const char *segment(Bytes b, Segment *s) { /* NULL, or the capability that is missing */
  Bytes part, rule, x; uint64_t v; int f, g;
  while ((f = field(&b, &part, &v))) {
    if (f == 7) s->dim = (int)v;
    if (f == 1) while ((g = field(&part, &rule, &v))) if (g != 1) return "initializer.other";
    if (f != 2) continue;
    while ((g = field(&part, &rule, &v))) {
      if (g > FTRL) return "optimizer.other";
      s->rule = g; s->acc = 0.1f;
      for (int h; (h = field(&rule, &x, &v));) {
        float value = from_bits((uint32_t)v);
        if (g == ADAGRAD) { if (h == 3) s->acc = value; if (h == 5) s->decay = value; }
        if (g == FTRL) { if (h == 3) s->beta = value; if (h == 4) s->acc = value; if (h == 5) s->l1 = value; if (h == 6) s->l2 = value; }
      }
    }
  }
  return NULL;
}
static const char *configure(Table *t, const char *hex) {
  static uint8_t raw[1 << 16]; size_t n = 0; unsigned byte;
  while (n < sizeof raw && sscanf(hex + 2 * n, "%2x", &byte) == 1 && hex[2 * n] != '"') raw[n++] = (uint8_t)byte;
  Bytes all = { raw, raw + n }, entry, one; uint64_t v; int f, g;
  while ((f = field(&all, &entry, &v))) {
    if (f == 10 && v) return "table.serving";
    if (f != 1) continue;
    while ((g = field(&entry, &one, &v))) {
      if (g == 2 && v == 2) return "table.serving";
      if (g == 1) { if (t->nseg == MAXSEG) return "table.segments"; const char *e = segment(one, &t->seg[t->nseg]); if (e) return e; t->dim += t->seg[t->nseg++].dim; }
    }
  }
  return NULL;
}

/* -- rows ---------------------------------------------------------------------------------------------------------- */
static Slot *probe(Table *t, int64_t id) {
  uint64_t h = (uint64_t)id * 0x9E3779B97F4A7C15u; size_t i = (size_t)(h >> 20) & (t->cap - 1);
  while (t->slot[i].row && t->slot[i].id != id) i = (i + 1) & (t->cap - 1);
  return &t->slot[i];
}
static Slot *obtain(Table *t, int64_t id) { /* the id's row, made by zeros and initial accumulators where it is new */
  if (2 * (t->size + 1) > t->cap) {
    Slot *old = t->slot; size_t n = t->cap; t->cap = n ? 2 * n : 64; t->slot = calloc(t->cap, sizeof *t->slot);
    for (size_t i = 0; i < n; i++) if (old[i].row) *probe(t, old[i].id) = old[i];
    free(old);
  }
  Slot *s = probe(t, id);
  if (!s->row) {
    s->id = id; s->row = calloc((size_t)t->dim * 3, sizeof(float)); t->size++;
    for (int k = 0, at = 0; k < t->nseg; at += t->seg[k++].dim) for (int i = at; i < at + t->seg[k].dim; i++) s->row[t->dim + i] = t->seg[k].acc;
  }
  return s;
}
static void update(const Segment *s, float lr, float g, float *w, float *norm, float *zero) {
  if (s->rule == SGD) *w = *w - lr * g;
  if (s->rule == ADAGRAD) { g = g + s->decay * *w; *norm = *norm + g * g; float e = lr / sqrtf(*norm); *w = *w - e * g; }
  if (s->rule == FTRL) {
    float n = *norm + g * g, sigma = (sqrtf(n) - sqrtf(*norm)) / lr; *norm = n; *zero = *zero + (g - sigma * *w);
    float sign = l1_by_sign_bit ? (signbit(*zero) ? 1.0f : 0.0f) : (*zero > 0 ? 1.0f : -1.0f);
    *w = fabsf(*zero) > s->l1 ? (lr * (sign * s->l1 - *zero)) / ((sqrtf(n) + s->beta) + s->l2 * lr) : 0.0f;
  }
}

/* -- requests ------------------------------------------------------------------------------------------------------ */
static int unsupported(const char *what) { return printf("\"unsupported\":{\"capability\":\"%s\"}", what); }
static Table *named(const char *line) {
  const char *p = after(line, "\"table\":\""); size_t n = p ? strcspn(p, "\"") : 0;
  for (int i = 0; i < ntables; i++) if (strlen(tables[i].name) == n && !memcmp(tables[i].name, p, n)) return &tables[i];
  return NULL;
}
/* Gradients of one id added in order, at its first occurrence; the number of distinct ids. */
static size_t summed(int64_t *ids, float *f, size_t n, size_t d) {
  size_t m = 0;
  for (size_t i = 0, j; i < n; i++) {
    for (j = 0; j < m && ids[j] != ids[i]; j++) {}
    if (j == m) { ids[m] = ids[i]; memmove(f + m++ * d, f + i * d, d * sizeof *f); }
    else for (size_t k = 0; k < d; k++) f[j * d + k] = f[j * d + k] + f[i * d + k];
  }
  return m;
}
static void operate(Table *t, const char *line) {
  const char *op = after(line, "\"op\":\""); int64_t *ids; float *f, *lr;
  size_t n = id_list(line, &ids), d = (size_t)t->dim; floats(line, "\"floats\":\"", &f); floats(line, "\"rates\":\"", &lr);
  uint32_t now = (uint32_t)number(line, "\"time\":");
  #define IS(name) (op && !strncmp(op, name "\"", sizeof name))
  if (IS("lookup")) {
    size_t found = 0; float *zeros = calloc(d + 1, sizeof *zeros);
    printf("\"result\":{\"floats\":\"");
    for (size_t i = 0; i < n; i++) { Slot *s = t->cap ? probe(t, ids[i]) : NULL; int hit = s && s->row; found += (size_t)hit; if (i) putchar(' '); put_floats(hit ? s->row : zeros, d); }
    printf("\",\"ints\":[%zu]}", found); free(zeros);
  } else if (IS("contains")) {
    printf("\"result\":{\"flags\":[");
    for (size_t i = 0; i < n; i++) printf("%s%s", i ? "," : "", t->cap && probe(t, ids[i])->row ? "true" : "false");
    printf("]}");
  } else if (IS("size")) printf("\"result\":{\"ints\":[%zu]}", t->size);
  else if (IS("assign") || IS("assign_add") || IS("optimize")) {
    if (IS("optimize") && strstr(line, "\"dedup\":true")) n = summed(ids, f, n, d);
    for (size_t i = 0; i < n; i++) {
      Slot *s = obtain(t, ids[i]); float *v = f + i * d; s->time = now;
      if (IS("assign")) memcpy(s->row, v, d * sizeof *v);
      if (IS("assign_add")) for (size_t k = 0; k < d; k++) s->row[k] = s->row[k] + v[k];
      if (IS("optimize")) for (int k = 0, at = 0; k < t->nseg; at += t->seg[k++].dim)
        for (int j = at; j < at + t->seg[k].dim; j++) update(&t->seg[k], lr[k], v[j], s->row + j, s->row + d + j, s->row + 2 * d + j);
    }
    printf("\"result\":{}");
  } else { char what[80]; snprintf(what, sizeof what, "table.%.*s", op ? (int)strcspn(op, "\"") : 0, op ? op : ""); unsupported(what); }
  free(ids); free(f); free(lr);
}
int main(void) {
  char *line = NULL; size_t room = 0, got; int c;
  for (;;) {
    for (got = 0; (c = getchar()) != EOF && c != '\n'; line[got++] = (char)c) if (got + 2 > room) line = realloc(line, room = room ? 2 * room : 4096);
    if (c == EOF) return 0;
    line[got] = 0;
    printf("{\"seq\":%lld,", (long long)number(line, "\"seq\":"));
    if (strstr(line, "\"hello\":{")) {
      l1_by_sign_bit = strstr(line, "\"ftrl_l1_sign\"") != NULL;
      printf("\"hello\":{\"protocol\":1,\"name\":\"c-example\",\"version\":\"1\",\"language\":\"C\",\"capabilities\":[\"optimizer.sgd\",\"optimizer.adagrad\",\"optimizer.ftrl\","
             "\"initializer.zeros\",\"table.lookup\",\"table.contains\",\"table.size\",\"table.assign\",\"table.assign_add\",\"table.optimize\"]}");
    } else if (strstr(line, "\"create\":{") && ntables < 64) {
      Table *t = &tables[ntables]; memset(t, 0, sizeof *t);
      const char *p = after(line, "\"table\":\""), *hex = after(line, "\"config\":\"");
      if (p) snprintf(t->name, sizeof t->name, "%.*s", (int)strcspn(p, "\""), p);
      const char *missing = configure(t, hex ? hex : "");
      if (missing) unsupported(missing); else { ntables++; printf("\"result\":{}"); }
    } else if (strstr(line, "\"drop\":{")) {
      Table *t = named(line);
      if (t) { for (size_t i = 0; i < t->cap; i++) free(t->slot[i].row); free(t->slot); *t = tables[--ntables]; }
      printf("\"result\":{}");
    } else if (strstr(line, "\"op\":{")) {
      Table *t = named(line);
      if (t) operate(t, line); else printf("\"error\":{\"kind\":\"state\",\"message\":\"no such table\"}");
    } else if (strstr(line, "\"stop\":{")) return 0;
    else unsupported("kind");
    printf("}\n"); fflush(stdout);
  }
}
