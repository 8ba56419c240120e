// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

var errGPUHangs = errors.New("a driver call on the GPU does not come back")

// scraper turns what the GPUs say into metrics.
type scraper struct {
	config   *Config
	settings receiver.Settings
	session  *session
	proc     procFS
	xids     xids
	start    pcommon.Timestamp

	gpus   []*gpu                   // every GPU that was ever found, in the order of their first finding
	opened *generation              // the one that the devices of gpus are of
	absent *metadata.MetricsBuilder // status of GPUs that cannot be read
	waits  []<-chan struct{}        // scratch: the lanes of gpus
}

func newScraper(config *Config, settings receiver.Settings, session *session) *scraper {
	s := &scraper{
		config: config, settings: settings, session: session, proc: "/proc",
		start:  pcommon.NewTimestampFromTime(session.now()),
		absent: metadata.NewMetricsBuilder(config.Builder, settings),
	}
	if metrics := &config.Builder.Metrics; metrics.HwErrors.Enabled || metrics.NvmlGpuXidErrors.Enabled {
		session.onEvent = append(session.onEvent, s.xids.add)
		s.xids.counting.Store(true)
	}
	return s
}

// scrape reads all GPUs at the same time, and gives those that answered before the timeout. Faults are logged once for each cause
// and then shown by hw.status alone, so that it returns no error: the scraper helper would log it at every scrape.
func (s *scraper) scrape(ctx context.Context) (pmetric.Metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	now := s.session.now()
	out := pmetric.NewMetrics()
	s.waits = append(s.waits[:0], make([]<-chan struct{}, len(s.gpus))...)

	gen, err := s.session.acquire(ctx)
	if err == nil {
		s.meet(gen)
		for i, g := range s.gpus {
			if g.device != nil {
				s.waits[i] = s.dispatch(gen, g, now)
			}
		}
		s.collect(ctx, gen, out)
		s.session.release(gen)
	}
	ts := pcommon.NewTimestampFromTime(now)
	for i, g := range s.gpus {
		if s.waits[i] == nil {
			recordStatus(s.absent, g, ts, metadata.AttributeHwStateFailed)
			s.absent.EmitForResource(metadata.WithResource(g.resource), metadata.WithStartTimeOverride(s.start))
		}
	}
	s.absent.Emit().ResourceMetrics().MoveAndAppendTo(out.ResourceMetrics())
	return out, nil
}

func (s *scraper) timeout() time.Duration {
	if s.config.Controller.Timeout > 0 {
		return s.config.Controller.Timeout
	}
	return s.config.Controller.CollectionInterval
}

// meet makes the acquaintance of the GPUs of gen.
func (s *scraper) meet(gen *generation) {
	if s.opened == gen {
		return
	}
	s.opened = gen
	for _, g := range s.gpus {
		g.device = nil
	}
	for _, found := range gen.gpus {
		resource := resourceOf(s.config, gen, found)
		if g := s.known(found.uuid); g != nil {
			g.device, g.found, g.name, g.resource = found.device, found, found.name, resource
			g.links = nil
			continue
		}
		s.gpus = append(s.gpus, newGPU(s, found, found.device, found.uuid, found.name, resource))
		s.waits = append(s.waits, nil)
	}
}

func (s *scraper) known(uuid string) *gpu {
	for _, g := range s.gpus {
		if g.uuid == uuid {
			return g
		}
	}
	return nil
}

// resourceOf describes a GPU.
func resourceOf(config *Config, gen *generation, found foundGPU) pcommon.Resource {
	rb := metadata.NewResourceBuilder(config.Builder.ResourceAttributes)
	rb.SetHwVendor("NVIDIA")
	rb.SetNvmlGpuIndex(int64(found.index))
	for value, set := range map[*string]func(string){
		&found.model: rb.SetHwModel, &found.serial: rb.SetHwSerialNumber, &found.vbios: rb.SetHwFirmwareVersion,
		&found.pci: rb.SetNvmlGpuPciAddress, &gen.driverVersion: rb.SetHwDriverVersion, &gen.cudaVersion: rb.SetNvmlCudaVersion,
	} {
		if *value != "" {
			set(*value)
		}
	}
	return rb.Emit()
}

// dispatch starts the scrape of one GPU; nil if the last one has not come back.
func (s *scraper) dispatch(gen *generation, g *gpu, now time.Time) <-chan struct{} {
	s.session.retain(gen)
	done := g.lane.run(func() {
		defer s.session.release(gen)
		g.scrape(now)
	})
	if done == nil {
		s.session.release(gen)
	}
	return done
}

// collect waits for the GPUs, and takes those that cannot be read out of s.waits.
func (s *scraper) collect(ctx context.Context, gen *generation, out pmetric.Metrics) {
	var fault error
	for i, g := range s.gpus {
		err := error(driver.GPULost)
		switch {
		case g.device == nil: // it did not answer when the driver was opened
			s.session.renew(gen)
		case s.await(ctx, s.waits[i]):
			g.out.ResourceMetrics().MoveAndAppendTo(out.ResourceMetrics())
			if err = g.lost; err != nil {
				s.session.renew(gen)
			}
		default:
			s.waits[i], err = nil, errGPUHangs
		}
		if err != nil {
			fault = err
			s.complain(g, err)
		}
	}
	s.session.fault("gpu", fault)
	if fault == nil {
		s.session.healthy()
		if s.session.once.forget("gpu") {
			s.settings.Logger.Info("every GPU answers again")
		}
	}
}

// await says whether done came in time.
func (s *scraper) await(ctx context.Context, done <-chan struct{}) bool {
	if done == nil {
		return false
	}
	select {
	case <-done:
		return true
	case <-s.session.stop:
		return false
	case <-ctx.Done():
		select { // both at the same time
		case <-done:
			return true
		default:
			return false
		}
	}
}

func (s *scraper) complain(g *gpu, err error) {
	s.session.once.say(problem{gpu: g.uuid, what: "gpu", code: driver.CodeOf(err)}, func() {
		s.settings.Logger.Warn("a GPU cannot be read; its hw.status says failed", zap.String("gpu", g.name),
			zap.String("hw.id", g.uuid), zap.Error(err))
	})
}
