// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

// Waits between two attempts to open the driver. maxReopenWait applies while other GPUs can still be read, because
// reopening interrupts their events.
const (
	initialRetryWait = 5 * time.Second
	maxRetryWait     = time.Minute
	maxReopenWait    = 10 * time.Minute
)

// shutdownGrace is how long a shutdown waits for the driver to close. After that, the driver closes in the background.
const shutdownGrace = time.Second

var (
	errStopped = errors.New("the receiver is shut down")
	errHangs   = errors.New("the NVIDIA driver hangs while opening or closing")
	errNoGPU   = errors.New("the NVIDIA driver is loaded, but there is no GPU")
)

// session holds the driver open for the metrics and logs receivers of one configuration, and reopens it when the driver
// or a GPU is lost. A driver call can hang forever, so the methods that receivers call leave driver calls to other
// goroutines.
type session struct {
	lib      driver.Library
	logger   *zap.Logger
	logged   logOnce
	now      func() time.Time
	hostName string           // empty if unknown
	onEvent  []func(gpuEvent) // set before start

	stop chan struct{} // closed by the last shutdown

	mu       sync.Mutex
	members  []*member // receivers that have started
	current  *generation
	busy     chan struct{} // closes when the opening or closing in progress is done; nil if none is
	openErr  error         // error of the last attempt to open
	gpuCount int           // at the last successful attempt; 0 before the first
	faults   map[string]error
	watched  map[string]bool // GPUs that have been registered for events, by UUID
	retry    backoff         // for opening
	reopen   backoff         // for reopening because of a lost GPU
}

// generation is the result of opening the driver once. Reopening starts a new generation.
type generation struct {
	gpus          []detectedGPU
	skipped       []error // why each GPU that is missing from gpus did not respond
	hostName      string
	driverVersion string
	cudaVersion   string
	lossNotified  bool // used only by the watcher, which waits for events again until the driver is due to be reopened

	// Guarded by session.mu.
	users int
	stale bool // to be closed by its last user
}

// detectedGPU is a GPU that responded when the driver was opened.
type detectedGPU struct {
	device driver.Device
	index  int
	// uuid and name identify the GPU; the others describe it and may be empty.
	uuid, name, model, serial, vbios, pci string
}

func newSession(lib driver.Library, logger *zap.Logger) *session {
	hostName, _ := os.Hostname()
	return &session{
		lib: lib, logger: logger, now: time.Now, hostName: hostName, stop: make(chan struct{}),
		faults: map[string]error{}, watched: map[string]bool{},
		logged: logOnce{seen: map[problem]struct{}{}},
		retry:  backoff{initial: initialRetryWait, max: maxRetryWait},
		reopen: backoff{initial: initialRetryWait, max: maxReopenWait},
	}
}

// start adds a receiver. If requireDriver is true, it opens the driver immediately and returns an error if that fails.
func (s *session) start(ctx context.Context, m *member, requireDriver bool) error {
	s.mu.Lock()
	s.members = append(s.members, m)
	first := len(s.members) == 1
	s.mu.Unlock()
	if requireDriver {
		gen, err := s.acquire(ctx)
		if err != nil {
			return fmt.Errorf("no GPU metrics: %w (to start without a driver, set on_missing_driver: ignore)", err)
		}
		s.release(gen)
	}
	if first && len(s.onEvent) > 0 {
		go s.watch()
	}
	return nil
}

// shutdown removes a receiver, and closes the driver with the last receiver. It reports whether this was the last
// receiver.
func (s *session) shutdown(m *member) bool {
	s.mu.Lock()
	s.members = slices.DeleteFunc(s.members, func(other *member) bool { return other == m })
	if len(s.members) > 0 {
		s.mu.Unlock()
		return false
	}
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.closeIfUnusedLocked()
	busy := s.busy
	s.mu.Unlock()
	if busy != nil {
		grace := time.NewTimer(shutdownGrace)
		defer grace.Stop()
		select {
		case <-busy:
		case <-grace.C:
		}
	}
	return true
}

// acquire returns the open driver, opening it first if necessary; the caller must release it. After a failed attempt,
// it returns an error immediately until the next attempt is due. It returns an error when ctx ends.
func (s *session) acquire(ctx context.Context) (*generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tried := false; ; tried = true {
		select {
		case <-s.stop:
			return nil, errStopped
		default:
		}
		if s.current != nil {
			s.current.users++
			return s.current, nil
		}
		if s.busy == nil {
			if tried && s.openErr != nil || !s.retry.due(s.now()) {
				return nil, s.openErr
			}
			s.busy = make(chan struct{})
			go s.open(s.busy)
		}
		if err := s.awaitLocked(ctx, s.busy); err != nil {
			return nil, err
		}
	}
}

// awaitLocked waits for busy to close, with s.mu unlocked.
func (s *session) awaitLocked(ctx context.Context, busy <-chan struct{}) error {
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-busy:
		return nil
	case <-s.stop:
		return errStopped
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return errStopped
		}
		s.logged.do(problem{what: "open"}, func() {
			s.logger.Warn("no GPU metrics for now", zap.Error(errHangs))
			s.setFault("driver", errHangs)
		})
		return errHangs
	}
}

// retain adds a user to gen, which the caller must already hold.
func (s *session) retain(gen *generation) {
	s.mu.Lock()
	gen.users++
	s.mu.Unlock()
}

// release undoes one acquire or retain.
func (s *session) release(gen *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gen.users--
	select {
	case <-s.stop:
		gen.stale = true
	default:
	}
	if gen.stale {
		s.closeIfUnusedLocked()
	}
}

// requestReopen marks gen stale because one of its handles has become unusable. The driver reopens once gen has no
// users.
func (s *session) requestReopen(gen *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if gen == s.current && !gen.stale && s.reopen.due(s.now()) {
		gen.stale = true
		s.reopen.fail(s.now())
	}
}

// allResponding records that every GPU responded.
func (s *session) allResponding() {
	s.mu.Lock()
	s.reopen.reset()
	s.mu.Unlock()
}

// stale reports whether users of gen should release it.
func (s *session) stale(gen *generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return gen.stale
}

// closeIfUnusedLocked closes the driver in the background if it has no users.
func (s *session) closeIfUnusedLocked() {
	gen := s.current
	if gen == nil || gen.users > 0 || s.busy != nil {
		return
	}
	s.current = nil
	busy := make(chan struct{})
	s.busy = busy
	go func() {
		if err := s.lib.Close(); err != nil {
			s.logger.Debug("cannot close the NVIDIA driver", zap.Error(err))
		}
		s.mu.Lock()
		s.busy = nil
		s.mu.Unlock()
		close(busy)
	}()
}

// open makes one attempt to open the driver and to detect its GPUs, then closes busy.
func (s *session) open(busy chan struct{}) {
	gen, err := s.detect()

	s.mu.Lock()
	s.busy = nil
	s.openErr = err
	if err == nil {
		s.current = gen
		s.retry.reset()
	} else {
		s.retry.fail(s.now())
	}
	if driver.CodeOf(err) == driver.PlatformUnsupported {
		s.retry.next = s.now().AddDate(100, 0, 0) // this cannot change while the process runs
	}
	previousCount := s.gpuCount
	if err == nil {
		s.gpuCount = len(gen.gpus)
	}
	select {
	case <-s.stop:
		s.closeIfUnusedLocked()
	default:
	}
	s.mu.Unlock()
	s.reportOpen(gen, err, previousCount)
	close(busy)
}

// detect opens the driver and identifies its GPUs. It omits GPUs that do not respond.
func (s *session) detect() (*generation, error) {
	if err := s.lib.Open(); err != nil {
		if driver.CodeOf(err) == driver.VersionMismatch {
			err = fmt.Errorf("%w: the driver was upgraded; restart the collector, "+
				"or the computer if that does not help", err)
		}
		return nil, err
	}
	gen := &generation{hostName: s.hostName}
	gen.driverVersion, _ = s.lib.DriverVersion()
	gen.cudaVersion, _ = s.lib.CUDAVersion()
	count, err := s.lib.DeviceCount()
	for i := 0; i < count && err == nil; i++ {
		gpu, err := s.identify(i)
		if err != nil {
			s.logged.do(problem{"GPU " + fmt.Sprint(i), "identify", driver.CodeOf(err)}, func() {
				s.logger.Warn(fmt.Sprintf("skipping a GPU that does not respond: %d", i),
					zap.Int("gpu", i), zap.Error(err))
			})
			gen.skipped = append(gen.skipped, fmt.Errorf("GPU %d: %w", i, err))
			continue
		}
		gen.gpus = append(gen.gpus, gpu)
	}
	if err == nil && len(gen.gpus) == 0 {
		err = cmp.Or(errors.Join(gen.skipped...), errNoGPU)
	}
	if err != nil {
		_ = s.lib.Close()
		return nil, err
	}
	return gen, nil
}

func (s *session) identify(index int) (detectedGPU, error) {
	device, err := s.lib.Device(index)
	if err != nil {
		return detectedGPU{}, err
	}
	gpu := detectedGPU{device: device, index: index, name: fmt.Sprintf("GPU %d", index)}
	if gpu.uuid, err = device.UUID(); err != nil {
		return detectedGPU{}, err
	}
	gpu.model, _ = device.Name()
	gpu.serial, _ = device.Serial()
	gpu.vbios, _ = device.VBIOSVersion()
	gpu.pci, _ = device.PCIAddress()
	return gpu, nil
}

// reportOpen logs the outcome of an attempt to open the driver, once per cause. previousCount is the number of GPUs
// before the attempt: if it is 0, a missing driver is not a fault.
func (s *session) reportOpen(gen *generation, err error, previousCount int) {
	if err == nil {
		failed := s.logged.forget("open")
		s.setFault("driver", nil)
		if failed || len(gen.gpus) != previousCount {
			s.logger.Info("reading NVIDIA GPUs", zap.Int("gpus", len(gen.gpus)),
				zap.String("driver", gen.driverVersion), zap.String("cuda", gen.cudaVersion))
		}
		return
	}
	noGPU := driver.CodeOf(err).DriverMissing() && previousCount == 0
	if noGPU {
		s.setFault("driver", nil) // the driver may have reported it late, after a hang
	}
	s.logged.do(problem{what: "open", code: driver.CodeOf(err)}, func() {
		if driver.CodeOf(err) == driver.PlatformUnsupported {
			s.logger.Info("no GPU metrics", zap.Error(err))
			return
		}
		if noGPU {
			s.logger.Info("no GPU metrics; will check again periodically", zap.Error(err))
			return
		}
		s.logger.Warn("no GPU metrics; will retry periodically", zap.Error(err))
		s.setFault("driver", err)
	})
}

// setFault records the fault of a part of the session, or nil if there is none. If the component status changes, it
// reports it.
func (s *session) setFault(part string, err error) {
	s.mu.Lock()
	anyBefore, before := len(s.faults) > 0, s.faults[part]
	delete(s.faults, part)
	if err != nil {
		s.faults[part] = err
	}
	anyNow := len(s.faults) > 0
	members := slices.Clone(s.members)
	s.mu.Unlock()

	event := componentstatus.NewEvent(componentstatus.StatusOK)
	switch {
	case err != nil && before == nil:
		event = componentstatus.NewRecoverableErrorEvent(err)
	case !anyBefore || anyNow:
		return
	}
	for _, m := range members {
		componentstatus.ReportStatus(m.host, event)
	}
}
