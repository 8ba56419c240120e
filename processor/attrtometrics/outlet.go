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

// outlets holds the connectors of this process from their creation to their shutdown, so that a processor can find the
// connector with its ID.
//
// It is global because components can reach each other only through pipelines, and a traces pipeline carries no
// metrics. Since the connector is an exporter of the processor's pipeline, the collector creates and starts it before
// the processor and stops it afterwards. A component does not know its pipeline: when it is created, it can only see
// whether the connector exists, and when it starts, whether the connector is running.
//
// A collector that cannot build its pipelines shuts down none of its components. Their entries stay, which does not
// matter because the process then exits.
var outlets = struct {
	sync.Mutex
	byKey map[outletKey]*outlet
}{byKey: map[outletKey]*outlet{}}

// outletKey identifies a connector. The resource of the internal telemetry distinguishes collectors in the same
// process: each collector creates one and passes that instance, not a copy, to all of its components.
type outletKey struct {
	collector pcommon.Resource
	id        component.ID
}

// outlet forwards the metrics of processors to the pipelines of a connector.
type outlet struct {
	key    outletKey
	names  []outputName // of the connector's own metrics
	used   atomic.Bool  // a processor has found this outlet
	shared sharedEngine // engine of those processors

	mu   sync.RWMutex
	next consumer.Metrics // nil unless the connector is running
}

// newOutlet registers an outlet for processors to find. The outlet forwards nothing until it is open.
func newOutlet(id component.ID, set component.TelemetrySettings, cfg *Config) *outlet {
	o := &outlet{
		key:   outletKey{collector: set.Resource, id: id},
		names: cfg.outputNames(fmt.Sprintf("connectors::%s::", id)),
	}
	outlets.Lock()
	defer outlets.Unlock()
	if _, ok := outlets.byKey[o.key]; !ok {
		outlets.byKey[o.key] = o
	}
	return o
}

func (o *outlet) open(next consumer.Metrics) error {
	outlets.Lock()
	defer outlets.Unlock()
	if outlets.byKey[o.key] != o {
		return fmt.Errorf("connector %q is already started in this collector", o.key.id)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = next
	return nil
}

// close unregisters the outlet, waits for metrics in flight to be forwarded, and then forwards no more.
func (o *outlet) close() {
	outlets.Lock()
	if outlets.byKey[o.key] == o {
		delete(outlets.byKey, o.key)
	}
	outlets.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = nil
}

// missingOutlet is a format string whose only argument is the ID of the processor.
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

// findOutlet returns the connector with the given ID in the same collector.
func findOutlet(id component.ID, set component.TelemetrySettings) (*outlet, error) {
	outlets.Lock()
	defer outlets.Unlock()
	o := outlets.byKey[outletKey{collector: set.Resource, id: id}]
	if o == nil {
		return nil, fmt.Errorf(missingOutlet, id.String())
	}
	o.used.Store(true)
	return o, nil
}

var errOutletNotRunning = errors.New("the connector with the same ID has not started or is already shut down: " +
	"list it as an exporter of the processor's own traces pipeline")

// running returns an error unless the connector is between its start and its shutdown.
func (o *outlet) running() error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.next == nil {
		return errOutletNotRunning
	}
	return nil
}

func (*outlet) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// ConsumeMetrics forwards md to the pipelines of the connector.
func (o *outlet) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.next == nil {
		return errOutletNotRunning
	}
	return o.next.ConsumeMetrics(ctx, md)
}
