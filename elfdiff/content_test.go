package elfdiff

import "testing"

func TestText(t *testing.T) {
	for _, c := range []struct {
		name, data, text string
		ok               bool
	}{
		{"string", "hello\x00", "hello", true},
		{"string and others", "hello\x00world\x00", "hello", true},
		{"string and numbers", "hello\x00\x01\x02\x03", "hello", true},
		{"short and text", "a\x00bc\x00", "a", true},
		{"short and numbers", "a\x00\x01\x02\x00", "", false},
		{"no end", "hello", "", false},
		{"not text", "\x01\x02\x00", "", false},
		{"control characters of text", "\tline\n\x00", "\tline\n", true},
		{"UTF-8", "gr\u00fc\u00dfe\x00", "gr\u00fc\u00dfe", true},
		{"empty", "\x00", "", true},
		{"empty and text", "\x00abc\x00", "", true},
		{"nothing", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if s, ok := text([]byte(c.data)); s != c.text || ok != c.ok {
				t.Errorf("text(%q) = %q, %v; want %q, %v", c.data, s, ok, c.text, c.ok)
			}
		})
	}
}

func TestStripSuffix(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"f", "f"},
		{"x.123", "x"},
		{"f.constprop.0", "f.constprop"},
		{"f.isra.0.constprop.12", "f.isra.constprop"},
		{"f.part.0", "f.part"},
		{"f.cold", "f.cold"},
		{"f.llvm.4711", "f.llvm"},
		{"state.lto_priv.0", "state.lto_priv"},
		{"f.n", "f.n"},
		{".hidden", ".hidden"},
		{"", ""},
	} {
		if got := stripSuffix(c.name); got != c.want {
			t.Errorf("stripSuffix(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}
