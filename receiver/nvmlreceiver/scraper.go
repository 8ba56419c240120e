// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper/scrapererror"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

var errGPUHangs = errors.New("a driver call for the GPU hangs")

// scraper scrapes all GPUs.
type scraper struct {
	config   *Config
	settings receiver.Settings
	session  *session
	proc     procFS
	xids     xidCounts
	start    pcommon.Timestamp

	gpus       []*gpu                   // every GPU detected so far, in order of first detection
	generation *generation              // the generation that the devices of gpus belong to
	absent     *metadata.MetricsBuilder // for the status of GPUs that cannot be read
	live       liveSeries
	pending    []<-chan struct{} // scratch: for each of gpus, a channel that closes when its scrape is done
}

func newScraper(config *Config, settings receiver.Settings, session *session) *scraper {
	s := &scraper{
		config: config, settings: settings, session: session, proc: newProcFS("/proc"),
		start:  pcommon.NewTimestampFromTime(session.now()),
		absent: metadata.NewMetricsBuilder(config.Builder, settings),
		live:   liveSeries{resources: map[string]*liveResource{}},
	}
	if metrics := &config.Builder.Metrics; metrics.HwErrors.Enabled || metrics.NvmlGpuXidErrors.Enabled {
		session.onEvent = append(session.onEvent, s.xids.add)
	}
	return s
}

// scrape reads all GPUs concurrently. It returns the metrics of those that respond before the timeout, and the end of
// each series that is gone. It logs each cause of a fault once, and returns a partial error at each scrape that says
// how many metrics are missing. A canceled scrape returns no metrics, because it cannot distinguish a hanging GPU from
// a slow one.
func (s *scraper) scrape(ctx context.Context) (pmetric.Metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	now := s.session.now()
	current := pmetric.NewMetrics()
	var missing scrapererror.ScrapeErrors
	s.pending = append(s.pending[:0], make([]<-chan struct{}, len(s.gpus))...)

	gen, err := s.session.acquire(ctx)
	if err == nil {
		s.adopt(gen)
		for i, g := range s.gpus {
			if g.device != nil {
				s.pending[i] = s.startScrape(gen, g, now)
			}
		}
		err = s.collect(ctx, gen, current, &missing)
		s.session.release(gen)
	} else {
		s.countAll(err, &missing)
	}
	if errors.Is(err, errStopped) || errors.Is(ctx.Err(), context.Canceled) {
		return pmetric.NewMetrics(), errStopped
	}
	for i, g := range s.gpus {
		if s.pending[i] == nil {
			s.recordUnreadable(g, now)
		}
	}
	s.absent.Emit().ResourceMetrics().MoveAndAppendTo(current.ResourceMetrics())
	out := s.live.update(current, now)
	current.ResourceMetrics().MoveAndAppendTo(out.ResourceMetrics())
	return out, missing.Combine()
}

// countAll counts the metrics of every GPU as missing because the driver could not be opened. err is the reason.
func (s *scraper) countAll(err error, missing *scrapererror.ScrapeErrors) {
	count := 0
	for _, g := range s.gpus {
		count += max(g.metricCount, 1)
	}
	if count == 0 && !driver.CodeOf(err).DriverMissing() { // a computer without a GPU lacks no metrics
		count = 1
	}
	if count > 0 {
		missing.AddPartial(count, err)
	}
}

// recordUnreadable records what is known about a GPU without reading it.
func (s *scraper) recordUnreadable(g *gpu, now time.Time) {
	timestamp := pcommon.NewTimestampFromTime(now)
	recordStatus(s.absent, g, timestamp, metadata.AttributeHwStateFailed)
	recordXIDs(s.absent, g, timestamp)
	s.absent.EmitForResource(metadata.WithResource(g.resource), metadata.WithStartTimeOverride(s.start))
}

func (s *scraper) timeout() time.Duration {
	if s.config.Controller.Timeout > 0 {
		return s.config.Controller.Timeout
	}
	return s.config.Controller.CollectionInterval
}

// adopt switches to the devices of gen and adds the GPUs that it contains for the first time.
func (s *scraper) adopt(gen *generation) {
	if s.generation == gen {
		return
	}
	s.generation = gen
	for _, g := range s.gpus {
		g.device = nil
	}
	for _, detected := range gen.gpus {
		resource := resourceOf(s.config, gen, detected)
		if g := s.gpu(detected.uuid); g != nil {
			g.adopt(detected, resource)
			continue
		}
		s.gpus = append(s.gpus, newGPU(s, detected.device, detected.uuid, detected.name, resource))
		s.pending = append(s.pending, nil)
	}
}

// gpu returns the GPU with this UUID, or nil.
func (s *scraper) gpu(uuid string) *gpu {
	for _, g := range s.gpus {
		if g.uuid == uuid {
			return g
		}
	}
	return nil
}

// resourceOf returns the resource that describes a GPU. If the driver did not say which GPU it is, the resource
// contains only what is known.
func resourceOf(config *Config, gen *generation, gpu detectedGPU) pcommon.Resource {
	rb := metadata.NewResourceBuilder(config.Builder.ResourceAttributes)
	rb.SetHwVendor("NVIDIA")
	if gpu.uuid != "" {
		rb.SetNvmlGpuIndex(int64(gpu.index))
	}
	for value, set := range map[*string]func(string){
		&gpu.model:         rb.SetHwModel,
		&gpu.serial:        rb.SetHwSerialNumber,
		&gpu.vbios:         rb.SetHwFirmwareVersion,
		&gpu.pci:           rb.SetNvmlGpuPciAddress,
		&gen.hostName:      rb.SetHostName,
		&gen.driverVersion: rb.SetHwDriverVersion,
		&gen.cudaVersion:   rb.SetNvmlCudaVersion,
	} {
		if *value != "" {
			set(*value)
		}
	}
	return rb.Emit()
}

// startScrape starts the scrape of one GPU. It returns nil if the previous one has not returned yet.
func (s *scraper) startScrape(gen *generation, g *gpu, now time.Time) <-chan struct{} {
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

// collect waits for the scrapes, moves their results to out, and counts what is missing. It sets s.pending to nil for
// GPUs that do not finish. It returns errStopped if the scrape is canceled.
func (s *scraper) collect(
	ctx context.Context, gen *generation, out pmetric.Metrics, missing *scrapererror.ScrapeErrors,
) error {
	for i := range s.pending {
		if !s.await(ctx, s.pending[i]) {
			s.pending[i] = nil
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return errStopped
	}
	var fault error
	for _, err := range gen.skipped {
		fault = err
		missing.AddPartial(1, err)
		s.session.requestReopen(gen)
	}
	for i, g := range s.gpus {
		err := s.result(gen, g, s.pending[i] != nil, out, missing)
		if err != nil {
			fault = err
			missing.AddPartial(max(g.metricCount, 1), err)
			s.logUnreadable(g, err)
		}
	}
	s.session.setFault("gpu", fault)
	if fault == nil {
		s.session.allResponding()
		if s.session.logged.forget("gpu") {
			s.settings.Logger.Info("all GPUs respond again")
		}
	}
	return nil
}

// result moves the metrics read from a GPU to out. It returns an error if the GPU as a whole could not be read.
func (s *scraper) result(
	gen *generation, g *gpu, finished bool, out pmetric.Metrics, missing *scrapererror.ScrapeErrors,
) error {
	if g.device == nil { // the GPU did not respond when the driver was opened
		s.session.requestReopen(gen)
		return driver.GPULost
	}
	if !finished {
		return errGPUHangs
	}
	count := g.result.MetricCount()
	g.result.ResourceMetrics().MoveAndAppendTo(out.ResourceMetrics())
	if g.lost != nil {
		s.session.requestReopen(gen)
		return g.lost
	}
	g.metricCount = count
	for _, err := range g.failed {
		missing.AddPartial(1, err)
	}
	return nil
}

// await reports whether done closes in time.
func (s *scraper) await(ctx context.Context, done <-chan struct{}) bool {
	if done == nil {
		return false
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		select { // prefer done if both are ready
		case <-done:
			return true
		default:
			return false
		}
	}
}

func (s *scraper) logUnreadable(g *gpu, err error) {
	s.session.logged.do(problem{gpu: g.uuid, what: "gpu", code: driver.CodeOf(err)}, func() {
		s.settings.Logger.Warn(fmt.Sprintf("cannot read GPU %s; reporting its hw.status as failed", g.uuid),
			zap.String("gpu", g.name), zap.String("hw.id", g.uuid), zap.Error(err))
	})
}
