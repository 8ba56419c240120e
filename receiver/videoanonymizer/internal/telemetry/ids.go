// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// spanID identifies a span, for example in a link.
type spanID struct {
	trace pcommon.TraceID
	span  pcommon.SpanID
}

// ids generates IDs that are unique and unpredictable. It is not safe for concurrent use.
type ids struct{ source rand.Source }

func newIDs() ids {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails: the program crashes if the system has no randomness
	return ids{rand.NewChaCha8(seed)}
}

func (i *ids) trace() (id pcommon.TraceID) {
	for id.IsEmpty() {
		binary.BigEndian.PutUint64(id[:8], i.source.Uint64())
		binary.BigEndian.PutUint64(id[8:], i.source.Uint64())
	}
	return id
}

func (i *ids) span() (id pcommon.SpanID) {
	for id.IsEmpty() {
		binary.BigEndian.PutUint64(id[:], i.source.Uint64())
	}
	return id
}
