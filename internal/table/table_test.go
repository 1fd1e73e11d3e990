package table

import (
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	var tab Table
	tab.Row("program", "missed", "n")
	tab.Row("redis", 0, 13000)
	tab.Note("a note")
	tab.Row("a long title")
	var b strings.Builder
	tab.Write(&b)
	want := strings.Join([]string{
		"program       missed      n",
		"redis              0  13000",
		"    a note",
		"a long title",
		"",
	}, "\n")
	if b.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", b.String(), want)
	}
}
