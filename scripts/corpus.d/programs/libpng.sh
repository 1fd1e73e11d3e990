# libpng, by hand: the autotools would be the longest part of the build.
package=libpng1.6
result=libpng16.so.16
built=libpng16.so.16

libraries() { echo zlib1g-dev zlib1g; }

configure() { cp scripts/pnglibconf.h.prebuilt pnglibconf.h; }

build() {
    local unit units=() vector=-DPNG_INTEL_SSE_OPT=1 fast=(intel/{intel_init,filter_sse2_intrinsics})
    [[ $(gcc -dumpmachine) != aarch64-* ]] || vector=-DPNG_ARM_NEON_OPT=2 fast=(arm/{arm_init,filter_neon_intrinsics,palette_neon_intrinsics})
    for unit in png{,error,get,mem,pread,read,rio,rtran,rutil,set,trans,wio,write,wtran,wutil} "${fast[@]}"; do
        gcc -O2 -g -Wall -fPIC "$vector" -I. -c "$unit.c" -o "$unit.o"
        units+=("$unit.o")
    done
    gcc -shared -Wl,-soname,libpng16.so.16 "${units[@]}" -lz -lm -o libpng16.so.16
}
