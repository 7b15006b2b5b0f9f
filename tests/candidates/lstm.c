/* An LSTM in C, to be judged as `exec:./lstm`: reads a run from the folder argv[1], writes its outputs into argv[2].

   Compiled with -DNO_CELL_CARRY it makes one mistake: the gradient of the cell state is not carried from step to step. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int dims; size_t size[3]; int single; double *v; } Array;

static void fail(const char *what, const char *name) {
    fprintf(stderr, "lstm: %s %s\n", what, name);
    exit(1);
}

static size_t count(const Array *a) {
    size_t n = 1;
    for (int k = 0; k < a->dims; k++) n *= a->size[k];
    return n;
}

static double *zeros(size_t n) {
    double *v = calloc(n ? n : 1, sizeof *v);
    if (!v) fail("no memory for", "an array");
    return v;
}

/* A .npy file of version 1.0: magic (6 bytes), version (2), length of the header (2), header, values in C order. */
static Array load(const char *folder, const char *name) {
    char path[4096], header[65536];
    unsigned char head[10];
    Array a = {0};
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file || fread(head, 1, 10, file) != 10 || memcmp(head, "\x93NUMPY\x01", 7)) fail("cannot read", path);
    size_t length = head[8] + 256u * head[9];
    if (fread(header, 1, length, file) != length) fail("cannot read the header of", path);
    header[length] = 0;
    a.single = strstr(header, "<f4") != NULL;
    if ((!a.single && !strstr(header, "<f8")) || strstr(header, "True")) fail("not floats in C order:", path);
    for (char *at = strchr(strstr(header, "shape"), '(') + 1; *at != ')' && a.dims < 3;) {
        a.size[a.dims++] = strtoul(at, &at, 10);
        at += strspn(at, ", ");
    }
    a.v = zeros(count(&a));
    for (size_t k = 0; k < count(&a); k++) {
        float single;
        if (fread(a.single ? (void *)&single : (void *)&a.v[k], a.single ? 4 : 8, 1, file) != 1) fail("too short:", path);
        if (a.single) a.v[k] = single;
    }
    fclose(file);
    return a;
}

static void save(const char *folder, const char *name, const Array *like, const double *v) {
    char path[4096], shape[80] = "", header[128];
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file) fail("cannot write", path);
    for (int k = 0; k < like->dims; k++) sprintf(shape + strlen(shape), "%zu,", like->size[k]);
    snprintf(header, sizeof header, "{'descr': '<f%d', 'fortran_order': False, 'shape': (%s)}", like->single ? 4 : 8, shape);
    fprintf(file, "\x93NUMPY\x01%c%c%c%-117s\n", 0, 118, 0, header);
    for (size_t k = 0; k < count(like); k++) {
        float single = (float)v[k];
        fwrite(like->single ? (void *)&single : (void *)&v[k], like->single ? 4 : 8, 1, file);
    }
    fclose(file);
}

static double sigmoid(double z) { return 1 / (1 + exp(-z)); }

int main(int argc, char **argv) {
    if (argc != 3) fail("expects two folders, got", argc > 1 ? argv[1] : "none");
    const char *gates = "figo";
    Array W[4], U[4], b[4];
    double *dW[4], *dU[4], *db[4];
    char name[8];
    for (int k = 0; k < 4; k++) {
        sprintf(name, "W_%c", gates[k]), W[k] = load(argv[1], name), dW[k] = zeros(count(&W[k]));
        sprintf(name, "U_%c", gates[k]), U[k] = load(argv[1], name), dU[k] = zeros(count(&U[k]));
        sprintf(name, "b_%c", gates[k]), b[k] = load(argv[1], name), db[k] = zeros(count(&b[k]));
    }
    Array x = load(argv[1], "x"), h0 = load(argv[1], "h0"), C0 = load(argv[1], "C0");
    Array dh_all = load(argv[1], "dh"), dh_T = load(argv[1], "dh_T"), dC_T = load(argv[1], "dC_T");
    size_t T = x.size[0], B = x.size[1], D = x.size[2], H = h0.size[1], BH = B * H;

    /* Forward. h and C hold the state before every step and after the last: h + (t + 1) * BH is that after step t. */
    double *h = zeros((T + 1) * BH), *C = zeros((T + 1) * BH), *gate = zeros(T * BH * 4), *dx = zeros(T * B * D);
    memcpy(h, h0.v, BH * sizeof *h);
    memcpy(C, C0.v, BH * sizeof *C);
    for (size_t t = 0; t < T; t++)
        for (size_t r = 0; r < B; r++)
            for (size_t j = 0; j < H; j++) {
                double *a = gate + ((t * B + r) * H + j) * 4;
                for (int k = 0; k < 4; k++) {
                    double z = b[k].v[j];
                    for (size_t m = 0; m < H; m++) z += h[t * BH + r * H + m] * W[k].v[m * H + j];
                    for (size_t m = 0; m < D; m++) z += x.v[(t * B + r) * D + m] * U[k].v[m * H + j];
                    a[k] = k == 2 ? tanh(z) : sigmoid(z);
                }
                size_t at = t * BH + r * H + j;
                C[at + BH] = a[0] * C[at] + a[1] * a[2];
                h[at + BH] = a[3] * tanh(C[at + BH]);
            }

    /* Backward, a step at a time; dh and dC are what arrives from the step after. */
    double *dh = zeros(BH), *dC = zeros(BH), *dz = zeros(BH * 4);
    memcpy(dh, dh_T.v, BH * sizeof *dh);
    memcpy(dC, dC_T.v, BH * sizeof *dC);
    for (size_t t = T; t-- > 0;) {
        for (size_t n = 0; n < BH; n++) {
            double *a = gate + (t * BH + n) * 4, tanh_C = tanh(C[(t + 1) * BH + n]);
            double dh_n = dh[n] + dh_all.v[t * BH + n];
            double dC_n = dh_n * a[3] * (1 - tanh_C * tanh_C);
#ifndef NO_CELL_CARRY
            dC_n += dC[n];
#endif
            dz[n * 4 + 0] = dC_n * C[t * BH + n] * a[0] * (1 - a[0]);
            dz[n * 4 + 1] = dC_n * a[2] * a[1] * (1 - a[1]);
            dz[n * 4 + 2] = dC_n * a[1] * (1 - a[2] * a[2]);
            dz[n * 4 + 3] = dh_n * tanh_C * a[3] * (1 - a[3]);
            dC[n] = dC_n * a[0];
            dh[n] = 0;
        }
        for (size_t r = 0; r < B; r++)
            for (size_t j = 0; j < H; j++)
                for (int k = 0; k < 4; k++) {
                    double d = dz[(r * H + j) * 4 + k];
                    db[k][j] += d;
                    for (size_t m = 0; m < H; m++) {
                        dW[k][m * H + j] += h[t * BH + r * H + m] * d;
                        dh[r * H + m] += W[k].v[m * H + j] * d;
                    }
                    for (size_t m = 0; m < D; m++) {
                        dU[k][m * H + j] += x.v[(t * B + r) * D + m] * d;
                        dx[(t * B + r) * D + m] += U[k].v[m * H + j] * d;
                    }
                }
    }

    save(argv[2], "h", &dh_all, h + BH);
    save(argv[2], "C", &dh_all, C + BH);
    save(argv[2], "C_T", &C0, C + T * BH);
    for (int k = 0; k < 4; k++) {
        sprintf(name, "dW_%c", gates[k]), save(argv[2], name, &W[k], dW[k]);
        sprintf(name, "dU_%c", gates[k]), save(argv[2], name, &U[k], dU[k]);
        sprintf(name, "db_%c", gates[k]), save(argv[2], name, &b[k], db[k]);
    }
    save(argv[2], "dx", &x, dx);
    save(argv[2], "dh0", &h0, dh);
    save(argv[2], "dC0", &C0, dC);
    return 0;
}
