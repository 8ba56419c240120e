// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics // import "github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// outlets holds the started connectors of this process, so that a processor finds the one with its ID.
//
// It is global because components can reach each other only through pipelines, and a traces pipeline carries no
// metrics. Since the connector is an exporter of the processor's pipeline, the collector starts it before the processor
// and stops it afterwards.
var outlets = struct {
	sync.Mutex
	open map[outletKey]*outlet
}{open: map[outletKey]*outlet{}}

// outletKey identifies a connector. The resource of the internal telemetry tells collectors in the same process apart:
// each collector creates one and passes that same instance, not a copy, to all of its components.
type outletKey struct {
	collector pcommon.Resource
	id        component.ID
}

// outlet forwards the metrics of processors to the pipelines of a connector.
type outlet struct {
	key  outletKey
	used atomic.Bool // a processor has found this outlet

	mu   sync.RWMutex
	next consumer.Metrics // nil once closed
}

func newOutlet(id component.ID, set component.TelemetrySettings, next consumer.Metrics) *outlet {
	return &outlet{key: outletKey{collector: set.Resource, id: id}, next: next}
}

func (o *outlet) open() error {
	outlets.Lock()
	defer outlets.Unlock()
	if _, ok := outlets.open[o.key]; ok {
		return fmt.Errorf("connector %q is already started in this collector", o.key.id)
	}
	outlets.open[o.key] = o
	return nil
}

// close waits until metrics in flight have been forwarded.
func (o *outlet) close() {
	outlets.Lock()
	if outlets.open[o.key] == o {
		delete(outlets.open, o.key)
	}
	outlets.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = nil
}

// missingOutlet has the ID of the processor as its only argument.
const missingOutlet = `processor %[1]q needs a connector %[1]q to send its metrics. ` +
	`Add it as an exporter of the same traces pipeline and as a receiver of a metrics pipeline:

connectors:
  %[1]s: {}
service:
  pipelines:
    traces:
      processors: [%[1]s]
      exporters: [%[1]s, ...]
    metrics:
      receivers: [%[1]s]`

// findOutlet returns the started connector with the given ID in the same collector.
func findOutlet(id component.ID, set component.TelemetrySettings) (*outlet, error) {
	outlets.Lock()
	defer outlets.Unlock()
	o := outlets.open[outletKey{collector: set.Resource, id: id}]
	if o == nil {
		return nil, fmt.Errorf(missingOutlet, id.String())
	}
	o.used.Store(true)
	return o, nil
}

var errOutletClosed = errors.New("the connector with the same ID is already shut down: " +
	"list it as an exporter of the processor's own traces pipeline")

func (*outlet) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// ConsumeMetrics forwards md to the pipelines of the connector.
func (o *outlet) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.next == nil {
		return errOutletClosed
	}
	return o.next.ConsumeMetrics(ctx, md)
}
