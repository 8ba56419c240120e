// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && cgo

package driver

import (
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

func (l *library) NewEventSet() (EventSet, error) {
	for _, symbol := range []string{"nvmlDeviceGetSupportedEventTypes", "nvmlDeviceRegisterEvents", "nvmlEventSetWait", "nvmlEventSetFree"} {
		if !l.symbols[symbol] {
			return nil, FunctionNotFound
		}
	}
	set, err := call(l, "nvmlEventSetCreate", l.nvml.EventSetCreate)
	if err != nil {
		return nil, err
	}
	return &eventSet{lib: l, set: set}, nil
}

type eventSet struct {
	lib *library
	set nvml.EventSet
}

func (e *eventSet) Register(d Device, kinds EventKind) error {
	handle := d.(*device).handle
	supported, ret := handle.GetSupportedEventTypes()
	if ret != nvml.SUCCESS {
		return code(ret)
	}
	if kinds &= EventKind(supported); kinds == 0 {
		return NotSupported
	}
	return code(handle.RegisterEvents(uint64(kinds), e.set))
}

func (e *eventSet) Wait(timeout time.Duration) (Event, error) {
	data, ret := e.set.Wait(uint32(timeout.Milliseconds()))
	if ret != nvml.SUCCESS {
		return Event{}, code(ret)
	}
	event := Event{Kind: EventKind(data.EventType), Data: data.EventData, GPUInstance: data.GpuInstanceId, ComputeInstance: data.ComputeInstanceId}
	e.lib.mu.Lock()
	defer e.lib.mu.Unlock()
	if d, ok := e.lib.devices[data.Device]; ok {
		event.Device = d
	}
	return event, nil
}

func (e *eventSet) Close() error { return code(e.set.Free()) }
