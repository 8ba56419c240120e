// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package engine // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/engine"

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Reason says why a value was not used. The names are those of the attribute reason in metadata.yaml.
type Reason int

const (
	accepted Reason = iota
	Missing
	NotNumeric
	NaN
	Infinite
	Negative // below zero on a monotonic sum
	ExpressionError
	ConditionError
	BufferFull // more points of every_span between two flushes than the buffer takes
	reasons    // how many there are
)

var reasonNames = [reasons]string{
	Missing:         "missing",
	NotNumeric:      "not_numeric",
	NaN:             "nan",
	Infinite:        "infinite",
	Negative:        "negative",
	ExpressionError: "expression_error",
	ConditionError:  "condition_error",
	BufferFull:      "buffer_full",
}

func (r Reason) String() string { return reasonNames[r] }

// Number is a finite number, an integer as long as it can be.
type Number struct {
	isDouble bool
	i        int64
	f        float64
}

func intNumber(i int64) Number { return Number{i: i} }

func doubleNumber(f float64) (Number, Reason) {
	switch {
	case math.IsNaN(f):
		return Number{}, NaN
	case math.IsInf(f, 0):
		return Number{}, Infinite
	}
	return Number{isDouble: true, f: f}, accepted
}

func (n Number) float() float64 {
	if n.isDouble {
		return n.f
	}
	return float64(n.i)
}

func (n Number) less(o Number) bool {
	if !n.isDouble && !o.isDouble {
		return n.i < o.i
	}
	return cmp.Less(n.float(), o.float())
}

// plus saturates at the largest double; an integer that overflows becomes a double.
func (n Number) plus(o Number) Number {
	if !n.isDouble && !o.isDouble {
		sum := n.i + o.i
		if (sum > n.i) == (o.i > 0) {
			return Number{i: sum}
		}
	}
	f := n.float() + o.float()
	return Number{isDouble: true, f: max(-math.MaxFloat64, min(f, math.MaxFloat64))}
}

// fromValue reads an attribute. With length an array or map counts as its length.
func fromValue(v pcommon.Value, length bool) (Number, Reason) {
	switch v.Type() {
	case pcommon.ValueTypeInt:
		return intNumber(v.Int()), accepted
	case pcommon.ValueTypeDouble:
		return doubleNumber(v.Double())
	case pcommon.ValueTypeBool:
		return fromBool(v.Bool()), accepted
	case pcommon.ValueTypeStr:
		return fromString(v.Str())
	case pcommon.ValueTypeSlice:
		if length {
			return intNumber(int64(v.Slice().Len())), accepted
		}
	case pcommon.ValueTypeMap:
		if length {
			return intNumber(int64(v.Map().Len())), accepted
		}
	case pcommon.ValueTypeEmpty:
		return Number{}, Missing
	}
	return Number{}, NotNumeric
}

// fromAny reads what an OTTL expression returned. A duration counts in seconds.
func fromAny(raw any, length bool) (Number, Reason) {
	switch v := raw.(type) {
	case nil:
		return Number{}, Missing
	case int64:
		return intNumber(v), accepted
	case float64:
		return doubleNumber(v)
	case bool:
		return fromBool(v), accepted
	case string:
		return fromString(v)
	case time.Duration:
		return doubleNumber(v.Seconds())
	case pcommon.Value:
		return fromValue(v, length)
	case pcommon.Slice:
		if length {
			return intNumber(int64(v.Len())), accepted
		}
	case pcommon.Map:
		if length {
			return intNumber(int64(v.Len())), accepted
		}
	case []any:
		if length {
			return intNumber(int64(len(v))), accepted
		}
	case map[string]any:
		if length {
			return intNumber(int64(len(v))), accepted
		}
	}
	return Number{}, NotNumeric
}

func fromBool(b bool) Number {
	if b {
		return intNumber(1)
	}
	return intNumber(0)
}

// fromString reads a decimal number, of which spaces around it are no part.
func fromString(s string) (Number, Reason) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 64 { // longer than any number that somebody wrote
		return Number{}, NotNumeric
	}
	if digits := strings.TrimLeft(s, "+-"); strings.Trim(digits, "0123456789") == "" {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return intNumber(i), accepted
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) { // out of range gives an infinity
		return Number{}, NotNumeric
	}
	return doubleNumber(f)
}
