// The honest limit: Euler-Maruyama for n FitzHugh-Nagumo neurons on gap junctions, written by hand
// for one model, one scheme and one processor, with a noise that depends on the order of work.
//
//   dv = [ -v (v - lam) (v - 1) + I - w + (V - v)/eps ] dt + sigma dW,   dw = [ b v - a w ] dt
//
// State in float64, normals in float32 (Box-Muller on 64 parallel xoshiro128+ generators), one pass
// over the network per step, everything fused, fast-math on.  None of what neurolim promises holds
// here: the numbers change with the compiler, the vector width and the number of neurons.
//
//   g++ -O3 -march=native -ffast-math -shared -fPIC euler_maruyama.cpp -o euler_maruyama.so
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kLanes = 64;

struct Generator {
    alignas(64) uint32_t s0[kLanes], s1[kLanes], s2[kLanes], s3[kLanes];

    explicit Generator(uint64_t seed) {
        uint64_t z = seed;
        auto next = [&z] {  // splitmix64
            z += 0x9E3779B97F4A7C15ull;
            uint64_t x = z;
            x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
            x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
            return static_cast<uint32_t>((x ^ (x >> 31)) >> 32);
        };
        for (int i = 0; i < kLanes; ++i) {
            s0[i] = next(); s1[i] = next(); s2[i] = next(); s3[i] = next();
        }
    }

    inline void words(uint32_t* out) {
        for (int i = 0; i < kLanes; ++i) {
            const uint32_t t = s1[i] << 9;
            out[i] = s0[i] + s3[i];
            s2[i] ^= s0[i];
            s3[i] ^= s1[i];
            s1[i] ^= s2[i];
            s0[i] ^= s3[i];
            s2[i] ^= t;
            s3[i] = (s3[i] << 11) | (s3[i] >> 21);
        }
    }

    // 128 normals from 2 x 64 words.
    inline void normals(float* out) {
        alignas(64) uint32_t a[kLanes], b[kLanes];
        words(a);
        words(b);
        for (int i = 0; i < kLanes; ++i) {
            // log of u in (0, 1] by exponent and polynomial
            const float u = static_cast<float>(static_cast<int32_t>(a[i] >> 1)) * 0x1p-31f + 0x1p-32f;
            int32_t bits;
            std::memcpy(&bits, &u, 4);
            const int32_t e = (bits - 0x3F3504F3) >> 23;
            bits -= e << 23;
            float m;
            std::memcpy(&m, &bits, 4);
            const float x = m - 1.0f, z = x * x;
            float y = 7.0376836292e-2f;
            y = y * x - 1.1514610310e-1f;
            y = y * x + 1.1676998740e-1f;
            y = y * x - 1.2420140846e-1f;
            y = y * x + 1.4249322787e-1f;
            y = y * x - 1.6668057665e-1f;
            y = y * x + 2.0000714765e-1f;
            y = y * x - 2.4999993993e-1f;
            y = y * x + 3.3333331174e-1f;
            y = y * x * z - 0.5f * z + x + 0.693147181f * static_cast<float>(e);
            const float radius = std::sqrt(-2.0f * y);
            // sine and cosine of a random angle: a full turn by symmetry of one quarter
            const int32_t turn = static_cast<int32_t>(b[i]);
            const float t = static_cast<float>(turn >> 2) * (1.57079632679f * 0x1p-30f);
            const float q = t * t;
            const float s = ((-1.9515295891e-4f * q + 8.3321608736e-3f) * q - 1.6666654611e-1f) * q * t + t;
            const float c = ((2.443315711e-5f * q - 1.388731625e-3f) * q + 4.166664568e-2f) * q * q - 0.5f * q + 1.0f;
            const bool swap = turn & 1;
            const float sign = (turn & 2) ? -radius : radius;
            out[i] = sign * (swap ? c : s);
            out[i + kLanes] = sign * (swap ? -s : c);
        }
    }
};

}  // namespace

// Advance a network that starts on its upper rest state; return nanoseconds per neuron-step and
// write mean and variance of the voltage at the end.  ``second`` puts noise on the recovery too.
extern "C" double euler_maruyama(int n, int steps, int second, double* mean_out, double* variance_out) {
    const double lam = 4.0, current = 0.0, a = 0.3, b = 0.1, eps = 0.01, h = 1e-3;
    const double sigma = std::sqrt(2.0), sigma_w = second ? std::sqrt(2.0 * eps) : 0.0;
    const int padded = (n + 127) / 128 * 128;
    double* v = static_cast<double*>(std::aligned_alloc(64, padded * sizeof(double)));
    double* w = static_cast<double*>(std::aligned_alloc(64, padded * sizeof(double)));
    alignas(64) float xi[128], zeta[128];
    Generator generator(1234);
    double mean = 0.0;
    for (int i = 0; i < padded; i += 128) {
        generator.normals(xi);
        for (int j = 0; j < 128; ++j) {
            v[i + j] = 3.9 + std::sqrt(eps) * xi[j];
            w[i + j] = 1.3;
        }
    }
    for (int i = 0; i < n; ++i) mean += v[i] / n;
    const double f1 = -lam - 1.0 / eps, f2 = 1.0 + lam;
    const double scale = sigma * std::sqrt(h), scale_w = sigma_w * std::sqrt(h);
    const auto begin = std::chrono::steady_clock::now();
    for (int k = 0; k < steps; ++k) {
        const double f0 = current + mean / eps;
        double total = 0.0;
        for (int i = 0; i < padded; i += 128) {
            generator.normals(xi);
            if (second) generator.normals(zeta);
            double* __restrict x = v + i;
            double* __restrict y = w + i;
            for (int j = 0; j < 128; ++j) {
                const double p = x[j], q = y[j];
                const double fresh = p + h * (((f2 - p) * p + f1) * p + f0 - q) + scale * xi[j];
                x[j] = fresh;
                y[j] = q + h * (b * p - a * q) + (second ? scale_w * zeta[j] : 0.0);
                total += fresh;
            }
        }
        for (int i = n; i < padded; ++i) total -= v[i];
        mean = total / n;
    }
    const auto end = std::chrono::steady_clock::now();
    double variance = 0.0;
    for (int i = 0; i < n; ++i) variance += (v[i] - mean) * (v[i] - mean) / n;
    *mean_out = mean;
    *variance_out = variance;
    std::free(v);
    std::free(w);
    return std::chrono::duration<double, std::nano>(end - begin).count() / n / steps;
}
