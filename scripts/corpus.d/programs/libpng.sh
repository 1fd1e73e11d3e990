# libpng, by hand: the autotools would be the longest part of the build.
package=libpng1.6
result=libpng16.so.16
built=libpng16.so.16

configure() { cp scripts/pnglibconf.h.prebuilt pnglibconf.h; }

build() {
    local unit units=()
    for unit in png{,error,get,mem,pread,read,rio,rtran,rutil,set,trans,wio,write,wtran,wutil} intel/{intel_init,filter_sse2_intrinsics}; do
        gcc -O2 -g -Wall -fPIC -DPNG_INTEL_SSE_OPT=1 -I. -c "$unit.c" -o "$unit.o"
        units+=("$unit.o")
    done
    gcc -shared -Wl,-soname,libpng16.so.16 "${units[@]}" -lz -lm -o libpng16.so.16
}
