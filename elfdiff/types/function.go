package types

import "slices"

// variable enters a variable with static storage.
func (r *reader) variable(i int32) error {
	n := &r.nodes[i]
	if n.flags&hasAddress == 0 || n.a == 0 && n.flags&isTLS == 0 {
		return nil
	}
	v := Variable{Name: n.name, Addr: n.a, TLS: n.flags&isTLS != 0}
	t := n.typ
	for _, k := range r.chain(i) { // the declaration has what the definition leaves out
		if v.Name == "" {
			v.Name = r.nodes[k].name
		}
		if t == 0 {
			t = r.nodes[k].typ
		}
	}
	var err error
	if v.Type, err = r.of(t); err != nil {
		return err
	}
	r.b.Variables = append(r.b.Variables, v)
	return nil
}

// chain returns the nodes that a function or variable completes or is a copy of: first its own.
func (r *reader) chain(i int32) []int32 {
	const longest = 4
	out := append(make([]int32, 0, longest), i)
	for len(out) < longest {
		i = r.at(ref(r.nodes[i].b))
		if i < 0 || slices.Contains(out, i) {
			break
		}
		switch r.nodes[i].tag {
		case tagVariable, tagFormalParameter, tagSubprogram, tagMember:
			out = append(out, i)
			continue
		}
		break
	}
	return out
}

// function enters a function that has code.
func (r *reader) function(i int32) error {
	n := &r.nodes[i]
	if n.flags&hasAddress == 0 {
		return nil
	}
	f := Func{Addr: n.a}
	chain := r.chain(i)
	proto, returns := i, ref(0)
	for x := len(chain) - 1; x >= 0; x-- {
		k := &r.nodes[chain[x]]
		if k.name != "" {
			f.Name = k.name
		}
		if k.typ != 0 {
			returns = k.typ
		}
		if r.hasParams(chain[x]) {
			proto = chain[x]
		}
	}
	var err error
	if f.Proto, err = r.prototype(proto, returns); err != nil {
		return err
	}
	f.Mentions, err = r.mentions(chain, returns)
	r.b.Funcs = append(r.b.Funcs, f)
	return err
}

func (r *reader) hasParams(i int32) bool {
	for k := i + 1; k < r.nodes[i].end; k = r.nodes[k].end {
		if t := r.nodes[k].tag; t == tagFormalParameter || t == tagUnspecifiedParameters {
			return true
		}
		if r.spend(1) != nil {
			return false
		}
	}
	return false
}

// mentions collects the types that a function names: of its variables and parameters, and of those of what is inlined into it.
func (r *reader) mentions(chain []int32, returns ref) ([]Mention, error) {
	r.number++
	m := &mentioning{r: r}
	if err := m.add(returns, UseReturn); err != nil {
		return nil, err
	}
	for _, i := range chain {
		if err := m.subtree(i, 0); err != nil {
			return nil, err
		}
	}
	return slices.Clip(m.out), nil
}

// mentioning collects the mentions of one function.
type mentioning struct {
	r   *reader
	out []Mention
}

func (m *mentioning) add(x ref, use Use) error {
	id, err := m.r.of(x)
	if err != nil || id == 0 {
		return err
	}
	r := m.r
	for int(id) >= len(r.stamp) {
		r.stamp, r.slot = append(r.stamp, 0), append(r.slot, 0)
	}
	if r.stamp[id] != r.number {
		r.stamp[id], r.slot[id] = r.number, int32(len(m.out))
		m.out = append(m.out, Mention{Type: id})
	}
	m.out[r.slot[id]].Use |= use
	return nil
}

// subtree goes through what lies below a function's node, and once through each function that is inlined there.
func (m *mentioning) subtree(i int32, depth int) error {
	r := m.r
	if r.walked[i] == r.number || depth > maxNesting {
		return nil
	}
	r.walked[i] = r.number
	end := r.nodes[i].end
	if err := r.spend(uint64(end - i)); err != nil {
		return err
	}
	for k := i + 1; k < end; k++ {
		n := &r.nodes[k]
		var err error
		switch n.tag {
		case tagVariable:
			if n.flags&hasAddress == 0 {
				err = m.add(n.typ, UseLocal)
			} else if n.typ != 0 {
				err = m.add(n.typ, UseStatic)
			}
		case tagFormalParameter:
			if p := n.parent; p >= 0 && r.nodes[p].tag == tagSubroutineType {
				continue // of a pointer's type
			}
			err = m.add(n.typ, UseParam)
		case tagInlinedSubroutine:
			if o := r.at(ref(n.b)); o >= 0 {
				err = m.subtree(o, depth+1)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
