// The receptive fields of a convolution, gathered for one panel of output pixels at a time.
#include "CKernels.h"

#include <string.h>

void ck_gather_fields(const float *x, size_t x_stride, const ck_convolution *c, size_t first, size_t count,
                      float *panel) {
    memset(panel, 0, c->channels * c->kernel_height * c->kernel_width * CK_PANEL * sizeof(float));
    for (size_t done = 0; done < count;) {
        const size_t row = (first + done) / c->output_width, column = (first + done) % c->output_width;
        const size_t left = c->output_width - column, run = count - done < left ? count - done : left;
        float *line = panel + done;
        for (size_t channel = 0; channel < c->channels; channel++) {
            for (size_t ky = 0; ky < c->kernel_height; ky++) {
                const ptrdiff_t y = (ptrdiff_t)(row * c->stride + ky) - (ptrdiff_t)c->vertical_padding;
                const int inside = y >= 0 && y < (ptrdiff_t)c->height;
                const float *source = x + channel * x_stride + (inside ? (size_t)y * c->width : 0);
                for (size_t kx = 0; kx < c->kernel_width; kx++, line += CK_PANEL) {
                    if (!inside) continue;
                    const ptrdiff_t start = (ptrdiff_t)(column * c->stride + kx) - (ptrdiff_t)c->horizontal_padding;
                    if (c->stride == 1) {
                        const ptrdiff_t low = start < 0 ? -start : 0, room = (ptrdiff_t)c->width - start;
                        const ptrdiff_t high = (ptrdiff_t)run < room ? (ptrdiff_t)run : room;
                        if (high > low) memcpy(line + low, source + start + low, (size_t)(high - low) * sizeof(float));
                    } else {
                        for (size_t i = 0; i < run; i++) {
                            const ptrdiff_t position = start + (ptrdiff_t)(i * c->stride);
                            if (position >= 0 && position < (ptrdiff_t)c->width) line[i] = source[position];
                        }
                    }
                }
            }
        }
        done += run;
    }
}
