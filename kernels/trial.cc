// A program that asks of a compiler what the operators ask: C++17, OpenMP, the GNU C library.
#include <malloc.h>
#include <omp.h>

#include <type_traits>

int main() { return std::is_same_v<int, long> || omp_get_max_threads() < malloc_trim(0); }
