// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"hash/maphash"
	"math"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// maxLabelLength is the maximum length in bytes of a dimension's value. Truncating it bounds the memory of a series.
const maxLabelLength = 1024

type labelKind uint8

const (
	labelAbsent labelKind = iota
	labelString
	labelBool
	labelInt
	labelDouble
)

// label is the value of a dimension. It is comparable. Unless cloned, it may share memory with its span.
type label struct {
	kind labelKind
	num  uint64 // bool, int, or the bits of a double
	str  string
}

// labelOf converts an attribute. An array, map or byte string becomes its text.
func labelOf(v pcommon.Value) label {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return label{kind: labelString, str: truncate(v.Str())}
	case pcommon.ValueTypeInt:
		return label{kind: labelInt, num: uint64(v.Int())}
	case pcommon.ValueTypeBool:
		if v.Bool() {
			return label{kind: labelBool, num: 1}
		}
		return label{kind: labelBool}
	case pcommon.ValueTypeDouble:
		return label{kind: labelDouble, num: math.Float64bits(v.Double())}
	case pcommon.ValueTypeEmpty:
		return label{}
	}
	return label{kind: labelString, str: truncate(v.AsString())}
}

// truncate shortens s to at most maxLabelLength bytes without splitting a UTF-8 character.
func truncate(s string) string {
	if len(s) <= maxLabelLength {
		return s
	}
	end := maxLabelLength
	for end > maxLabelLength-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func (l label) hash(seed maphash.Seed) uint64 {
	if l.kind == labelString {
		return maphash.String(seed, l.str)
	}
	return mix(uint64(l.kind), l.num)
}

// quickHash is a cheap hash. Of a long string, it covers only the length and both ends.
func (l label) quickHash() uint64 {
	n := len(l.str)
	if n < 8 {
		h := l.num + uint64(n)
		for i := range n {
			h = h<<8 + uint64(l.str[i])
		}
		return h
	}
	return word(l.str) + 31*word(l.str[n-8:]) + uint64(n)
}

// word returns the first 8 bytes of s, little-endian. It compiles to a single load.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// clone returns a label that shares no memory with the span.
func (l label) clone() label {
	l.str = strings.Clone(l.str)
	return l
}

func (l label) put(attributes pcommon.Map, name string) {
	switch l.kind {
	case labelString:
		attributes.PutStr(name, l.str)
	case labelInt:
		attributes.PutInt(name, int64(l.num))
	case labelBool:
		attributes.PutBool(name, l.num == 1)
	case labelDouble:
		attributes.PutDouble(name, math.Float64frombits(l.num))
	}
}

// mix combines the hash h with x. It uses the first half of MurmurHash3's fmix64:
// https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
func mix(h, x uint64) uint64 {
	h = h*0x9e3779b97f4a7c15 + x
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}
