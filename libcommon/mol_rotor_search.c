/*
 * mol_rotor_search.c - good turns of all rotors, the rest of the geometry rigid.
 *
 * A turn changes the rotor's torsion terms and the pairs of what moves with what does not; single precision does for
 * these, since a force field relaxes the winner.
 */
#include "mol_rotor.h"

#include <math.h>
#include <string.h>

typedef float lanes __attribute__((vector_size(32), aligned(32)));
typedef int32_t lane_bits __attribute__((vector_size(32), aligned(32)));
enum { WIDTH = 8, N_TURN = 12, N_SWEEP = 4, MAX_TERM = 72 };
static const double PI = 3.14159265358979323846;
static const int64_t WORK = 100000000; /* pairs a search */
static const float FAR_ANG = 1e4F;     /* where atoms stand that do not count */
/* Weight of the charges, which a crystal's neighbours screen; and the most that a pair's repulsion counts, since the
 * rigid geometry exaggerates what a little bending relieves. Atoms so near do not attract each other either. */
static const float SCREENED = 0.5F, CAP_KCAL = 5;
static const double GAIN_KCAL = 0.05; /* no turn for less */

/* A macro, since a vector that is wider than the machine's has no way of its own into a function. */
#ifdef __SSE2__
typedef float half_lanes __attribute__((vector_size(16)));
#define ROOTS(v)                                                                                                       \
	__extension__({                                                                                                \
		half_lanes low = __builtin_ia32_sqrtps((half_lanes){(v)[0], (v)[1], (v)[2], (v)[3]});                  \
		half_lanes high = __builtin_ia32_sqrtps((half_lanes){(v)[4], (v)[5], (v)[6], (v)[7]});                 \
		(lanes){low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]};                           \
	})
#else
#define ROOTS(v)                                                                                                       \
	((lanes){sqrtf((v)[0]), sqrtf((v)[1]), sqrtf((v)[2]), sqrtf((v)[3]), sqrtf((v)[4]), sqrtf((v)[5]),             \
		 sqrtf((v)[6]), sqrtf((v)[7])})
#endif
/* v where it is above 0, else 0. */
#define POSITIVE(v) ((lanes)(((v) > 0.0F) & (lane_bits)(v)))

/*
 * Energy of the atoms list [n], standing at pos [n, 3], with all atoms of place [3, np]: MMFF94's buffered 14-7 and
 * Coulomb terms, capped. Vectors of eight whatever the machine, summed in a fixed order.
 */
UTIL_CLONES("avx2", "default")
static double sum_pairs(const struct mol_rotors *w, int n, const int32_t *list, const float *pos, const float *place)
{
	int np = w->np;
	const float *px = place, *py = place + np, *pz = place + 2 * np;
	lanes sum = {0}, coulomb = {0};
	for (int t = 0; t < n; t++) {
		const float *inv_r = w->inv_r_per_ang + list[t] * np, *depth = w->depth_kcal + list[t] * np;
		const float *charge = w->charge_kcal + list[t] * np;
		float x0 = pos[3 * t], y0 = pos[3 * t + 1], z0 = pos[3 * t + 2];
		for (int j = 0; j < np; j += WIDTH) {
			lanes dx = x0 - *(const lanes *)(px + j), dy = y0 - *(const lanes *)(py + j);
			lanes dz = z0 - *(const lanes *)(pz + j), r = dx * dx + dy * dy + dz * dz;
			r = ROOTS(r);
			lanes x = r * *(const lanes *)(inv_r + j), x2 = x * x, x7 = x2 * x2 * x2 * x;
			lanes u = x + 0.07F, v = x7 + 0.12F, c = r + 0.05F, uv = u * v;
			lanes q = 1.0F / (uv * c), q_c = q * c, t1 = 1.07F * (q_c * v), t2 = t1 * t1;
			lanes e = *(const lanes *)(depth + j) * (t2 * t2 * t2 * t1) * (1.12F * (q_c * u) - 2.0F);
			lane_bits over = e > CAP_KCAL;
			lanes ec = *(const lanes *)(charge + j) * (q * uv);
			sum += e - POSITIVE(e - CAP_KCAL);
			coulomb += (lanes)((lane_bits)ec & ~(over & (ec < 0.0F)));
		}
	}
	sum += SCREENED * coulomb;
	return (double)(((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7])));
}

static void place_all(const struct mol_rotors *w, const double *pos, float *place)
{
	for (int c = 0; c < 3; c++) {
		for (int i = 0; i < w->n_atom; i++)
			place[c * w->np + i] = (float)pos[3 * i + c];
		for (int i = w->n_atom; i < w->np; i++)
			place[c * w->np + i] = FAR_ANG;
	}
}

/* ---- turning --------------------------------------------------------------------- */

/* A rotor's axis at its present place: a point on it and its direction. */
struct axis {
	double from[3], dir[3];
};

static struct axis find_axis(const struct mol_rotor *r, const double *pos)
{
	struct axis x;
	double s = 0;
	for (int c = 0; c < 3; c++) {
		x.from[c] = pos[3 * r->k + c];
		x.dir[c] = pos[3 * r->k + c] - pos[3 * r->j + c];
		s += x.dir[c] * x.dir[c];
	}
	s = s > 1e-12 ? 1 / sqrt(s) : 0;
	for (int c = 0; c < 3; c++)
		x.dir[c] *= s;
	return x;
}

/* Point p turned about the axis, counter-clockwise seen against its direction (Rodrigues' formula). */
static void turn_point(const struct axis *x, const double *p, double cs, double sn, double out[3])
{
	double d[3] = {p[0] - x->from[0], p[1] - x->from[1], p[2] - x->from[2]};
	const double *u = x->dir;
	double along = (1 - cs) * (d[0] * u[0] + d[1] * u[1] + d[2] * u[2]);
	double cross[3] = {u[1] * d[2] - u[2] * d[1], u[2] * d[0] - u[0] * d[2], u[0] * d[1] - u[1] * d[0]};
	for (int c = 0; c < 3; c++)
		out[c] = x->from[c] + cs * d[c] + sn * cross[c] + along * u[c];
}

static void turn(const struct mol_rotor *r, double angle_rad, double *pos)
{
	struct axis x = find_axis(r, pos);
	double out[3], cs = cos(angle_rad), sn = sin(angle_rad);
	for (int t = 0; t < r->n_moved; t++) {
		turn_point(&x, pos + 3 * r->moved[t], cs, sn, out);
		memcpy(pos + 3 * r->moved[t], out, sizeof out);
	}
}

/* cos and sin of a torsion; those of 0 over a straight angle. */
static void find_torsion(const double *pos, const int32_t atom[4], double cs_sn[2])
{
	double b1[3], b2[3], b3[3], l = 0;
	for (int c = 0; c < 3; c++) {
		b1[c] = pos[3 * atom[1] + c] - pos[3 * atom[0] + c];
		b2[c] = pos[3 * atom[2] + c] - pos[3 * atom[1] + c];
		b3[c] = pos[3 * atom[3] + c] - pos[3 * atom[2] + c];
		l += b2[c] * b2[c];
	}
	double m[3] = {b1[1] * b2[2] - b1[2] * b2[1], b1[2] * b2[0] - b1[0] * b2[2], b1[0] * b2[1] - b1[1] * b2[0]};
	double n[3] = {b2[1] * b3[2] - b2[2] * b3[1], b2[2] * b3[0] - b2[0] * b3[2], b2[0] * b3[1] - b2[1] * b3[0]};
	double x = m[0] * n[0] + m[1] * n[1] + m[2] * n[2];
	double y = sqrt(l) * (b1[0] * n[0] + b1[1] * n[1] + b1[2] * n[2]), h = sqrt(x * x + y * y);
	cs_sn[0] = h > 1e-12 ? x / h : 1;
	cs_sn[1] = h > 1e-12 ? y / h : 0;
}

/* The rotor's torsion terms when it has turned by (cs, sn) from where its torsions were `from`. */
static double terms_kcal(const struct mol_rotor *r, int n_term, double (*from)[2], double cs, double sn)
{
	double sum = 0;
	for (int t = 0; t < n_term; t++) {
		const double *v = r->term[t].v_kcal;
		double c = from[t][0] * cs - from[t][1] * sn, c2 = c * c;
		sum += 0.5 * (v[0] * (1 + c) + v[1] * 2 * (1 - c2) + v[2] * (1 + c * (4 * c2 - 3)));
	}
	return sum;
}

double mol_rotors_energy_kcal(struct mol_rotors *w, const double *pos)
{
	double sum = 0, from[1][2];
	if (!w->n)
		return 0;
	place_all(w, pos, w->place);
	for (int i = 0; i < 3 * w->n_atom; i++)
		w->turned[i] = (float)pos[i];
	sum = 0.5 * sum_pairs(w, w->n_atom, w->every, w->turned, w->place);
	w->n_pair_done += (int64_t)w->n_atom * w->np;
	for (int k = 0; k < w->n; k++)
		for (int t = 0; t < w->rotor[k].n_term; t++) {
			struct mol_rotor one = {.term = &w->rotor[k].term[t]};
			find_torsion(pos, one.term->atom, from[0]);
			sum += terms_kcal(&one, 1, from, 1, 0);
		}
	return sum;
}

/* ---- search ---------------------------------------------------------------------- */

/* Energies of the rotor's places, the present one first, up to what all have in common. */
static void scan(struct mol_rotors *w, const struct mol_rotor *r, const double *pos, double energy_kcal[N_TURN])
{
	double from[MAX_TERM][2], out[3];
	struct axis x = find_axis(r, pos);
	int n_term = r->n_term < MAX_TERM ? r->n_term : MAX_TERM;
	for (int t = 0; t < n_term; t++)
		find_torsion(pos, r->term[t].atom, from[t]);
	place_all(w, pos, w->fixed);
	for (int c = 0; c < 3; c++)
		for (int t = 0; t < r->n_moved; t++)
			w->fixed[c * w->np + r->moved[t]] = FAR_ANG;
	for (int s = 0; s < N_TURN; s++) {
		double cs = cos(2 * PI * s / N_TURN), sn = sin(2 * PI * s / N_TURN);
		for (int t = 0; t < r->n_moved; t++) {
			turn_point(&x, pos + 3 * r->moved[t], cs, sn, out);
			for (int c = 0; c < 3; c++)
				w->turned[3 * t + c] = (float)out[c];
		}
		energy_kcal[s] =
		    terms_kcal(r, n_term, from, cs, sn) + sum_pairs(w, r->n_moved, r->moved, w->turned, w->fixed);
	}
	w->n_pair_done += (int64_t)N_TURN * r->n_moved * w->np;
}

static int choose(const double energy_kcal[N_TURN], double kt_kcal, struct rng *r)
{
	int best = 0;
	for (int s = 1; s < N_TURN; s++)
		if (energy_kcal[s] < energy_kcal[best])
			best = s;
	if (!(kt_kcal > 0))
		return energy_kcal[best] < energy_kcal[0] - GAIN_KCAL ? best : 0;
	double weight[N_TURN], sum = 0;
	for (int s = 0; s < N_TURN; s++)
		sum += weight[s] = exp((energy_kcal[best] - energy_kcal[s]) / kt_kcal);
	double left = sum * (rng_u32(r) * 0x1p-32);
	for (int s = 0; s < N_TURN; s++)
		if ((left -= weight[s]) < 0)
			return s;
	return best;
}

/*
 * Sweeps over all rotors until none turns, or as often as is allowed. A rotor that stands at its best is passed over
 * while no other has turned.
 */
static void descend(struct mol_rotors *w, int n_sweep, double kt_kcal, struct rng *r, double *pos)
{
	double energy_kcal[N_TURN];
	bool changed = true;
	int n_turned = 1;
	memset(w->settled, 0, (size_t)w->n * sizeof *w->settled);
	for (int sweep = 0; changed && sweep < n_sweep; sweep++) {
		changed = false;
		for (int k = 0; k < w->n && w->n_pair_done < WORK; k++) {
			if (w->rotor[k].held || (!(kt_kcal > 0) && w->settled[k] == n_turned))
				continue;
			scan(w, &w->rotor[k], pos, energy_kcal);
			int s = choose(energy_kcal, kt_kcal, r);
			if (s)
				turn(&w->rotor[k], 2 * PI * s / N_TURN, pos);
			n_turned += s > 0;
			w->settled[k] = n_turned;
			changed = changed || s;
		}
	}
}

void mol_rotors_search(struct mol_rotors *w, const struct mol_rotor_opts *o, struct rng *r, double *pos)
{
	double least = 0, cs_sn[2];
	size_t nbytes = 3 * (size_t)w->n_atom * sizeof *pos;
	w->n_pair_done = 0;
	for (int k = 0; k < w->n; k++) {
		const struct mol_rotor *t = &w->rotor[k];
		if (!t->held)
			continue;
		find_torsion(pos, (int32_t[]){t->ref[0], t->j, t->k, t->ref[1]}, cs_sn);
		turn(t, t->at_rad - atan2(cs_sn[1], cs_sn[0]), pos);
	}
	for (int s = 0; w->n && s < o->n_start && w->n_pair_done < WORK; s++) {
		for (int k = 0; s > 0 && k < w->n; k++)
			if (!w->rotor[k].held)
				turn(&w->rotor[k], 2 * PI * (rng_u32(r) % N_TURN) / N_TURN, pos);
		descend(w, N_SWEEP, o->kt_kcal, r, pos);
		double e = mol_rotors_energy_kcal(w, pos);
		if (s == 0 || e < least) {
			least = e;
			memcpy(w->best, pos, nbytes);
		}
	}
	if (w->n)
		memcpy(pos, w->best, nbytes);
}
