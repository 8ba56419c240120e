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

// rejectReason is why a value was rejected. It corresponds to a value of the attribute reason in metadata.yaml.
type rejectReason int

const (
	accepted rejectReason = iota
	reasonMissing
	reasonNotNumeric
	reasonNaN
	reasonInfinite
	reasonNegative // in a monotonic sum
	reasonExpressionError
	reasonConditionError
	reasonBufferFull // KindEverySpan: more than maxBufferedPoints
	reasonLate       // KindGauge: the last value is from a span that ended later
	reasonCount      // the number of reasons, including accepted
)

var reasonNames = [reasonCount]string{
	reasonMissing:         "missing",
	reasonNotNumeric:      "not_numeric",
	reasonNaN:             "nan",
	reasonInfinite:        "infinite",
	reasonNegative:        "negative",
	reasonExpressionError: "expression_error",
	reasonConditionError:  "condition_error",
	reasonBufferFull:      "buffer_full",
	reasonLate:            "late",
}

func (r rejectReason) String() string { return reasonNames[r] }

// maxNumberLength is the maximum length in bytes of a string that is parsed as a number. Actual numbers are far
// shorter.
const maxNumberLength = 64

// number is a finite number: an integer where possible, otherwise a double.
type number struct {
	isDouble bool
	i        int64
	f        float64
}

func intNumber(i int64) number { return number{i: i} }

func doubleNumber(f float64) (number, rejectReason) {
	switch {
	case math.IsNaN(f):
		return number{}, reasonNaN
	case math.IsInf(f, 0):
		return number{}, reasonInfinite
	}
	return number{isDouble: true, f: f}, accepted
}

func (n number) float() float64 {
	if n.isDouble {
		return n.f
	}
	return float64(n.i)
}

func (n number) less(o number) bool {
	if !n.isDouble && !o.isDouble {
		return n.i < o.i
	}
	return cmp.Less(n.float(), o.float())
}

// plus returns the sum. An integer overflow yields a double. A double saturates at the largest finite value.
func (n number) plus(o number) number {
	if !n.isDouble && !o.isDouble {
		sum := n.i + o.i
		if (sum > n.i) == (o.i > 0) {
			return number{i: sum}
		}
	}
	f := n.float() + o.float()
	return number{isDouble: true, f: max(-math.MaxFloat64, min(f, math.MaxFloat64))}
}

// fromValue converts an attribute. If length is true, an array or map yields its length.
func fromValue(v pcommon.Value, length bool) (number, rejectReason) {
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
		return number{}, reasonMissing
	}
	return number{}, reasonNotNumeric
}

// fromAny converts the result of an OTTL expression. A duration yields seconds. If length is true, an array or map
// yields its length.
func fromAny(raw any, length bool) (number, rejectReason) {
	switch v := raw.(type) {
	case nil:
		return number{}, reasonMissing
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
	return number{}, reasonNotNumeric
}

func fromBool(b bool) number {
	if b {
		return intNumber(1)
	}
	return intNumber(0)
}

// fromString parses a number in Go syntax, ignoring surrounding white space.
func fromString(s string) (number, rejectReason) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxNumberLength {
		return number{}, reasonNotNumeric
	}
	if digits := strings.TrimLeft(s, "+-"); strings.Trim(digits, "0123456789") == "" {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return intNumber(i), accepted
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) { // ParseFloat returns an infinity for values out of range
		return number{}, reasonNotNumeric
	}
	return doubleNumber(f)
}
