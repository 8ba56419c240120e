// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package tfjs

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Attrs are the named arguments of a node, decoded on demand. The JSON form of TensorFlow's GraphDef represents 64-bit
// integers as strings and strings as base64.
type Attrs map[string]json.RawMessage

type attr struct {
	S    []byte      `json:"s"`
	I    json.Number `json:"i"`
	F    float32     `json:"f"`
	B    bool        `json:"b"`
	Type string      `json:"type"`
	List struct {
		S [][]byte      `json:"s"`
		I []json.Number `json:"i"`
	} `json:"list"`
}

func (a Attrs) get(name string) (attr, error) {
	var v attr
	raw, ok := a[name]
	if !ok {
		return v, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("attribute %s: %w", name, err)
	}
	return v, nil
}

// String returns a string, or "" if there is none.
func (a Attrs) String(name string) (string, error) {
	v, err := a.get(name)
	return string(v.S), err
}

// Type returns a type such as DT_FLOAT, or "" if there is none.
func (a Attrs) Type(name string) (string, error) {
	v, err := a.get(name)
	return v.Type, err
}

// Bool returns a boolean, or false if there is none.
func (a Attrs) Bool(name string) (bool, error) {
	v, err := a.get(name)
	return v.B, err
}

// Float returns a number, and whether there is one.
func (a Attrs) Float(name string) (float32, bool, error) {
	_, ok := a[name]
	v, err := a.get(name)
	return v.F, ok, err
}

// Int returns an integer, and whether there is one.
func (a Attrs) Int(name string) (int, bool, error) {
	v, err := a.get(name)
	if err != nil || v.I == "" {
		return 0, false, err
	}
	n, err := parseInt(name, v.I)
	return n, true, err
}

// Ints returns a list of integers, or nil if there is none.
func (a Attrs) Ints(name string) ([]int, error) {
	v, err := a.get(name)
	if err != nil || v.List.I == nil {
		return nil, err
	}
	out := make([]int, len(v.List.I))
	for i, n := range v.List.I {
		if out[i], err = parseInt(name, n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Strings returns a list of strings, or nil if there is none.
func (a Attrs) Strings(name string) ([]string, error) {
	v, err := a.get(name)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range v.List.S {
		out = append(out, string(s))
	}
	return out, nil
}

func parseInt(name string, n json.Number) (int, error) {
	i, err := strconv.ParseInt(n.String(), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("attribute %s: %q is not an integer: %w", name, n, err)
	}
	return int(i), nil
}
