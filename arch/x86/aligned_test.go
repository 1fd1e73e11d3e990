package x86

import "testing"

func TestAligned(t *testing.T) {
	tests := []struct {
		name string
		code string // bytes
		want int
	}{
		{"movaps (%rax),%xmm0", "\x0f\x28\x00", 16},
		{"movaps %xmm0,0x10(%rdi)", "\x0f\x29\x47\x10", 16},
		{"movaps %xmm0,%xmm1", "\x0f\x28\xc8", 1},
		{"movaps %xmm0,(%rsp)", "\x0f\x29\x04\x24", 1},
		{"movaps %xmm0,(%r12)", "\x41\x0f\x29\x04\x24", 16},
		{"movaps 0x0(%rip),%xmm0", "\x0f\x28\x05\x00\x00\x00\x00", 16},
		{"movapd (%rax),%xmm0", "\x66\x0f\x28\x00", 16},
		{"movups (%rax),%xmm0", "\x0f\x10\x00", 1},
		{"movupd (%rax),%xmm0", "\x66\x0f\x10\x00", 1},
		{"movsd (%rax),%xmm0", "\xf2\x0f\x10\x00", 1},
		{"movdqa %xmm1,(%rax)", "\x66\x0f\x7f\x08", 16},
		{"movdqu %xmm1,(%rax)", "\xf3\x0f\x7f\x08", 1},
		{"movq (%rax),%mm0", "\x0f\x6f\x00", 1},
		{"lddqu (%rax),%xmm0", "\xf2\x0f\xf0\x00", 1},
		{"paddd (%rax),%xmm0", "\x66\x0f\xfe\x00", 16},
		{"paddd (%rax),%mm0", "\x0f\xfe\x00", 1},
		{"addps (%rax),%xmm0", "\x0f\x58\x00", 16},
		{"addss (%rax),%xmm0", "\xf3\x0f\x58\x00", 1},
		{"pshufb (%rax),%xmm0", "\x66\x0f\x38\x00\x00", 16},
		{"pcmpistri $0,(%rax),%xmm0", "\x66\x0f\x3a\x63\x00\x00", 1},
		{"palignr $4,(%rax),%xmm0", "\x66\x0f\x3a\x0f\x00\x04", 16},
		{"movntdqa (%rax),%xmm0", "\x66\x0f\x38\x2a\x00", 16},
		{"vmovaps (%rax),%xmm0", "\xc5\xf8\x28\x00", 16},
		{"vmovaps (%rax),%ymm0", "\xc5\xfc\x28\x00", 32},
		{"vmovups (%rax),%ymm0", "\xc5\xfc\x10\x00", 1},
		{"vmovdqa %ymm0,(%rax)", "\xc5\xfd\x7f\x00", 32},
		{"vmovdqu %ymm0,(%rax)", "\xc5\xfe\x7f\x00", 1},
		{"vpaddd (%rax),%ymm0,%ymm0", "\xc5\xfd\xfe\x00", 1},
		{"vmovntdqa (%rax),%ymm0", "\xc4\xe2\x7d\x2a\x00", 32},
		{"vmovdqa64 (%rax),%zmm0", "\x62\xf1\xfd\x48\x6f\x00", 64},
		{"vmovdqu64 (%rax),%zmm0", "\x62\xf1\xfe\x48\x6f\x00", 1},
		{"fxsave (%rax)", "\x0f\xae\x00", 16},
		{"xsave (%rax)", "\x0f\xae\x20", 64},
		{"clflush (%rax)", "\x0f\xae\x38", 1},
		{"cmpxchg8b (%rax)", "\x0f\xc7\x08", 1},
		{"cmpxchg16b (%rax)", "\x48\x0f\xc7\x08", 16},
		{"xsavec (%rax)", "\x0f\xc7\x20", 64},
		{"mov (%rax),%rax", "\x48\x8b\x00", 1},
		{"unknown", "\x06", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Aligned([]byte(test.code)); got != test.want {
				t.Errorf("Aligned(% x) = %d, want %d", test.code, got, test.want)
			}
		})
	}
}
