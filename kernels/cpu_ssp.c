/*
 * cpu_ssp.c - the shifted softplus and its slope with AVX-512: by a table that lies in registers, and contracted.
 *
 * SchNet spends more time in it than in anything but products and pairs, and e^x and a logarithm take twice as long.
 * Other processors, and other core types of the library (by which bytes are told apart), go by cpu_math.h.
 */
#include "cpu.h"
#include "cpu_tile.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f")))
#define AVX512_INLINE AVX512 static inline __attribute__((always_inline))
#define ALL(x) _mm512_set1_ps(x)

/*
 * log(1 + e^-t) - log 2 = sum over i of terms[i][s] r^i near t = (s + r) / STEP, r in [-1/2, 1/2]: sixteen polynomials
 * through Chebyshev's points, off by 5e-8 at most; the first is 0 at 0, the last -log 2 from TOP on.
 */
enum { TERMS = 7 };
#define STEP 0.890625F
#define TOP 17.403F
static const float terms[TERMS][TILE_LANES] = {
    {0.0F, -0.411459118F, -0.592521608F, -0.659283102F, -0.682002664F, -0.689507484F, -0.691961467F, -0.692761242F,
     -0.693021595F, -0.693106294F, -0.693133891F, -0.693142831F, -0.693145752F, -0.693146706F, -0.693147004F,
     -0.693147182F},
    {-0.561403513F, -0.275639147F, -0.107484512F, -0.0373861976F, -0.0124437036F, -0.00407924876F, -0.00133050687F,
     -0.000433246983F, -0.000141000201F, -4.58804461e-05F, -1.49283123e-05F, -4.85719693e-06F, -1.58036755e-06F,
     -5.14197097e-07F, -1.67301891e-07F, -5.44342207e-08F},
    {0.157586843F, 0.116756335F, 0.0545657501F, 0.0202898812F, 0.00690851407F, 0.00228178338F, 0.000746065693F,
     0.00024313241F, 7.9148027e-05F, 2.57563788e-05F, 8.38069172e-06F, 2.72683428e-06F, 8.872222e-07F, 2.88671771e-07F,
     9.39238092e-08F, 3.05595442e-08F},
    {2.31895365e-06F, -0.0222380683F, -0.0165147949F, -0.00708859041F, -0.00252823229F, -0.000847726245F,
     -0.000278540538F, -9.09174341e-05F, -2.9612147e-05F, -9.63802268e-06F, -3.1362224e-06F, -1.02045419e-06F,
     -3.32024172e-07F, -1.08029525e-07F, -3.51490925e-08F, -1.14362955e-08F},
    {-0.00829672627F, -0.00136784872F, 0.00275530084F, 0.00172009936F, 0.00067807443F, 0.000234506006F, 7.78200483e-05F,
     2.54826155e-05F, 8.30843965e-06F, 2.70510873e-06F, 8.8034227e-07F, 2.86453286e-07F, 9.32041075e-08F,
     3.03256016e-08F, 9.86692061e-09F, 3.21035509e-09F},
    {6.55947952e-05F, 0.00167325872F, 6.0515642e-05F, -0.000270861696F, -0.000139205804F, -5.16724576e-05F,
     -1.75252735e-05F, -5.77891797e-06F, -1.88843626e-06F, -6.15298745e-07F, -2.00288667e-07F, -6.51766925e-08F,
     -2.12072582e-08F, -6.90021285e-09F, -2.24510077e-09F, -7.30478844e-10F},
    {0.000606765447F, -0.000210547252F, -0.000169359701F, 1.28988131e-05F, 2.08521797e-05F, 9.05149136e-06F,
     3.20512186e-06F, 1.07109474e-06F, 3.51514018e-07F, 1.146907e-07F, 3.73502971e-08F, 1.21560815e-08F,
     3.95554611e-09F, 1.28703737e-09F, 4.1876147e-10F, 1.36250858e-10F},
};

AVX512_INLINE __m512 term(int i, __m512 segment)
{
	return _mm512_permutexvar_ps(_mm512_castps_si512(segment), _mm512_loadu_ps(terms[i]));
}

/* What is not a number is the second of max, and stays. */
AVX512_INLINE __m512 ssp(__m512 x)
{
	const __m512 round = ALL(12582912.0F), q = _mm512_min_ps(ALL(TOP), _mm512_abs_ps(x));
	const __m512 s = _mm512_fmadd_ps(q, ALL(STEP), round),
		     r = _mm512_fmsub_ps(q, ALL(STEP), _mm512_sub_ps(s, round));
	const __m512 square = _mm512_mul_ps(r, r);
	__m512 y = _mm512_fmadd_ps(term(5, s), r, term(4, s));
	y = _mm512_fmadd_ps(term(6, s), square, y);
	y = _mm512_fmadd_ps(y, square, _mm512_fmadd_ps(term(3, s), r, term(2, s)));
	y = _mm512_fmadd_ps(y, square, _mm512_fmadd_ps(term(1, s), r, term(0, s)));
	return _mm512_add_ps(y, _mm512_max_ps(_mm512_setzero_ps(), x));
}

/* 2^(i / 16) / 2 */
static const float powers[TILE_LANES] = {
    0.5F,         0.522136867F, 0.545253873F, 0.56939429F,  0.594603539F, 0.620928884F, 0.648419797F, 0.677127779F,
    0.707106769F, 0.738413095F, 0.771105409F, 0.805245161F, 0.840896428F, 0.878126085F, 0.917004049F, 0.957603276F};

/* 1 - e^-y / 2, e^-y = 2^(n / 16) e^-r */
AVX512_INLINE __m512 slope(__m512 y)
{
	const __m512 round = ALL(12582912.0F), x = _mm512_min_ps(ALL(86), y);
	const __m512 t = _mm512_fnmadd_ps(x, ALL(23.0831207F), round);
	const __m512 r = _mm512_fmadd_ps(_mm512_sub_ps(t, round), ALL(0.0433216988F), x);
	__m512 p = _mm512_fnmadd_ps(ALL(1.66666667e-1F), r, ALL(0.5F));
	p = _mm512_fmsub_ps(p, r, ALL(1));
	p = _mm512_fmadd_ps(p, r, ALL(1));
	const __m512i n = _mm512_castps_si512(t), whole = _mm512_set1_epi32(-(1 << 23));
	const __m512 power = _mm512_permutexvar_ps(n, _mm512_loadu_ps(powers));
	const __m512i times = _mm512_and_si512(_mm512_slli_epi32(n, 19), whole); /* 2^(n / 16 rounded down) */
	return _mm512_fnmadd_ps(p, _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(power), times)), ALL(1));
}

AVX512 static void values(const float *x, const float *bias, float *y, int64_t n)
{
	int64_t i = 0;
	for (; i + TILE_LANES <= n; i += TILE_LANES) {
		const __m512 z = _mm512_loadu_ps(x + i);
		_mm512_storeu_ps(y + i, ssp(bias ? _mm512_add_ps(z, _mm512_loadu_ps(bias + i)) : z));
	}
	const __mmask16 rest = (__mmask16)((1U << (n - i)) - 1);
	const __m512 z = _mm512_maskz_loadu_ps(rest, x + i);
	_mm512_mask_storeu_ps(y + i, rest, ssp(bias ? _mm512_add_ps(z, _mm512_maskz_loadu_ps(rest, bias + i)) : z));
}

AVX512 static void slopes(const float *y, float *g, int64_t n)
{
	int64_t i = 0;
	for (; i + TILE_LANES <= n; i += TILE_LANES)
		_mm512_storeu_ps(g + i, _mm512_mul_ps(_mm512_loadu_ps(g + i), slope(_mm512_loadu_ps(y + i))));
	const __mmask16 rest = (__mmask16)((1U << (n - i)) - 1);
	const __m512 s = slope(_mm512_maskz_loadu_ps(rest, y + i));
	_mm512_mask_storeu_ps(g + i, rest, _mm512_mul_ps(_mm512_maskz_loadu_ps(rest, g + i), s));
}

#else

static void values(const float *x, const float *bias, float *y, int64_t n)
{
	(void)x, (void)bias, (void)y, (void)n;
}
static void slopes(const float *y, float *g, int64_t n)
{
	(void)y, (void)g, (void)n;
}

#endif

static bool works(void)
{
	return sizeof(real) == sizeof(float) && cpu_library_is_wide() && cpu_tile_works();
}

bool cpu_ssp(const real *x, const real *bias, real *y, int64_t n_row, int64_t d)
{
	const int64_t n = bias ? d : n_row * d;
	if (works())
		for (int64_t i = 0; i < n_row * d; i += n)
			values((const void *)(x + i), (const void *)bias, (void *)(y + i), n);
	return works();
}

bool cpu_ssp_slope(const real *y, real *g, int64_t n)
{
	if (works())
		slopes((const void *)y, (void *)g, n);
	return works();
}
