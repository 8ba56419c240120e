// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"hash/maphash"
	"strconv"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// maxLabelLength is the maximum length in bytes of a dimension's value. Truncation bounds the memory of a series.
const maxLabelLength = 1024

// maxIntegerTexts bounds the memory of a stripe's integerTexts.
const maxIntegerTexts = 1024

// label is the text of a dimension's value. Backends distinguish series by this text: to Prometheus, 200, "200", and
// 200.0 are the same value, and an empty value is the same as none. It may share memory with its span.
type label = string

// labelOf returns the text of an attribute. The text of an array or map is JSON.
func labelOf(v pcommon.Value) label {
	if v.Type() == pcommon.ValueTypeStr {
		return truncate(v.Str())
	}
	return truncate(v.AsString())
}

// integerTexts caches the texts of recently used integers, which saves an allocation per span.
type integerTexts map[int64]label

func (t integerTexts) labelOf(v pcommon.Value) label {
	if v.Type() != pcommon.ValueTypeInt {
		return labelOf(v)
	}
	text, ok := t[v.Int()]
	if !ok {
		if len(t) >= maxIntegerTexts {
			clear(t)
		}
		text = labelOf(v)
		t[v.Int()] = text
	}
	return text
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

// hashText returns the hash of the text of v.
func hashText(seed maphash.Seed, v pcommon.Value) uint64 {
	if v.Type() == pcommon.ValueTypeInt { // the most common type after strings: do not allocate its text
		var text [20]byte // fits the lowest int64
		return maphash.Bytes(seed, strconv.AppendInt(text[:0], v.Int(), 10))
	}
	return maphash.String(seed, v.AsString())
}

// sameText reports whether a and b are the same value to a backend that knows only text.
func sameText(a, b pcommon.Value) bool {
	return a.Equal(b) || a.AsString() == b.AsString()
}

// quickHash is a cheap hash. For a long string, it covers only the length and both ends.
func quickHash(l label) uint64 {
	n := len(l)
	if n < 8 {
		h := uint64(n)
		for i := range n {
			h = h<<8 + uint64(l[i])
		}
		return h
	}
	return word(l) + 31*word(l[n-8:]) + uint64(n)
}

// word returns the first 8 bytes of s, little-endian. It compiles to a single load.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// mix combines the hash h with x. It uses the first half of the fmix64 function of MurmurHash3:
// https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
func mix(h, x uint64) uint64 {
	h = h*0x9e3779b97f4a7c15 + x
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}
