#include <cblas.h>

// LAPACK's eigenvalues of a symmetric matrix, which OpenBLAS contains but <cblas.h> does not declare. Lengths of the
// Fortran strings are passed by hidden arguments behind the others.
void dsyevd_(const char *job, const char *triangle, const int *order, double *matrix, const int *stride,
             double *eigenvalues, double *work, const int *work_count, int *integer_work,
             const int *integer_work_count, int *status, unsigned long job_length, unsigned long triangle_length);
