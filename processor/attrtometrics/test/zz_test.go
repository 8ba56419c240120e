package test

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

var sink uint64

func BenchmarkWalk(b *testing.B) {
	td := batch(16)
	steps := []string{"at", "name", "end", "get", "int", "getlabel", "str", "bytes"}
	for level, name := range steps {
		b.Run(name, func(b *testing.B) {
			for n := 0; n < b.N; n += spansPerBatch {
				spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
				for k := range spans.Len() {
					sp := spans.At(k)
					if level >= 1 && sp.Name() != "person_detection" {
						continue
					}
					if level >= 2 {
						sink += uint64(sp.EndTimestamp())
					}
					var v, l pcommon.Value
					if level >= 3 {
						v, _ = sp.Attributes().Get("bbox.count")
					}
					if level >= 4 && v.Type() == pcommon.ValueTypeInt {
						sink += uint64(v.Int())
					}
					if level >= 5 {
						l, _ = sp.Attributes().Get("anonymizer.video.name")
					}
					if level >= 6 && l.Type() == pcommon.ValueTypeStr {
						s := l.Str()
						sink += uint64(len(s))
						if level >= 7 {
							sink += uint64(s[0])
						}
					}
				}
			}
		})
	}
}
