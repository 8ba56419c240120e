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

// outlets are the connectors that are started in this process, where a processor finds the one with its ID.
//
// The service tells its parts of each other only through pipelines, and metrics do not fit through one of traces. That the
// connector is an exporter of the processor's pipeline makes the service start it before the processor and stop it after.
var outlets = struct {
	sync.Mutex
	open map[outletKey]*outlet
}{open: map[outletKey]*outlet{}}

// outletKey tells collectors of the same process apart by the resource of their own telemetry: the service makes one and
// hands the same, not a copy, to all of its components.
type outletKey struct {
	collector pcommon.Resource
	id        component.ID
}

// outlet is the way of a processor's metrics into the pipelines of the connector.
type outlet struct {
	key  outletKey
	used atomic.Bool // by a processor

	mu   sync.RWMutex
	next consumer.Metrics // nil when closed
}

func newOutlet(id component.ID, set component.TelemetrySettings, next consumer.Metrics) *outlet {
	return &outlet{key: outletKey{collector: set.Resource, id: id}, next: next}
}

func (o *outlet) open() error {
	outlets.Lock()
	defer outlets.Unlock()
	if _, ok := outlets.open[o.key]; ok {
		return fmt.Errorf("a connector %q is already started in this collector", o.key.id)
	}
	outlets.open[o.key] = o
	return nil
}

// close waits for the metrics that are on their way.
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

// findOutlet returns the started connector of that ID in the same collector.
func findOutlet(id component.ID, set component.TelemetrySettings) (*outlet, error) {
	outlets.Lock()
	defer outlets.Unlock()
	o := outlets.open[outletKey{collector: set.Resource, id: id}]
	if o == nil {
		return nil, fmt.Errorf(`no connector %[1]q takes the metrics of processor %[1]q. Add it with the same ID, as an exporter of the same traces pipeline and a receiver of a metrics pipeline:

connectors:
  %[1]s: {}
service:
  pipelines:
    traces:
      processors: [%[1]s]
      exporters: [%[1]s, ...]
    metrics:
      receivers: [%[1]s]`, id.String())
	}
	o.used.Store(true)
	return o, nil
}

var errOutletClosed = errors.New("the connector of the same ID is already shut down: list it as an exporter of the processor's own traces pipeline")

func (*outlet) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// ConsumeMetrics passes md on to the pipelines of the connector.
func (o *outlet) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.next == nil {
		return errOutletClosed
	}
	return o.next.ConsumeMetrics(ctx, md)
}
