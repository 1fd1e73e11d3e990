package cli

import (
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// name returns a link name as a person reads it: demangled, unless --no-demangle asks for the linker's.
func (a *app) name(link string) string {
	if a.mangled {
		return clean(link)
	}
	return clean(demangle.Filter(link))
}

// longName is how long a demangled name may be before a list leaves its arguments out.
const longName = 72

// listName returns a link name as a list shows it: without template arguments and parameters where they would make it
// hard to read.
func (a *app) listName(link string) string {
	full := a.name(link)
	if len(full) <= longName || a.mangled {
		return full
	}
	brief, err := demangle.ToString(link, demangle.NoParams, demangle.NoTemplateParams)
	if err != nil {
		return full
	}
	return clean(brief)
}

// listNames returns the names of the changes of a list, by ID. Those that would look alike are whole.
func (a *app) listNames(r *report) map[int]string {
	names := make(map[int]string)
	links := make(map[string]string) // what looks like that
	for i := range r.all {
		link := r.all[i].Name
		brief := a.listName(link)
		if have, ok := links[brief]; ok && have != link {
			links[brief] = "" // several
			continue
		}
		links[brief] = link
	}
	for i := range r.all {
		link := r.all[i].Name
		if names[i+1] = a.listName(link); links[names[i+1]] != link {
			names[i+1] = a.name(link)
		}
	}
	return names
}

// demangled returns the demangled form of a link name for JSON: empty where the link name says it all.
func demangled(name string) string {
	if d := demangle.Filter(name); d != name {
		return d
	}
	return ""
}

// words returns a text that may hold link names, such as a reason, with the names as [app.name] shows them. What
// stands in quotes is the program's text and stays as it is.
func (a *app) words(text string) string { return a.wordsBy(text, a.name) }

// briefWords is words for lists: with the names as [app.listName] shows them.
func (a *app) briefWords(text string) string { return a.wordsBy(text, a.listName) }

func (a *app) wordsBy(text string, name func(link string) string) string {
	if a.mangled || !strings.Contains(text, "_Z") && !strings.Contains(text, "_R") {
		return clean(text)
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); {
		if n := linkNameLen(text[i:]); n > 0 && !quoted && (i == 0 || !isNameByte(text[i-1])) {
			link := strings.TrimRight(text[i:i+n], ".$") // which may be the end of the sentence
			b.WriteString(name(link))
			i += len(link)
			continue
		}
		switch c := text[i]; {
		case quoted && c == '\\' && i+1 < len(text):
			b.WriteByte(c)
			i++
		case c == '"':
			quoted = !quoted
		}
		b.WriteByte(text[i])
		i++
	}
	return clean(b.String())
}

// linkNameLen returns the length of the mangled name that s begins with: Itanium C++ ABI 5.1.2 or Rust RFC 2603; 0: none.
func linkNameLen(s string) int {
	if !strings.HasPrefix(s, "_Z") && !strings.HasPrefix(s, "_R") {
		return 0
	}
	n := 2
	for n < len(s) && isNameByte(s[n]) {
		n++
	}
	return n
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '$'
}
