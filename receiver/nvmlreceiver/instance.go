// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

// scrapeInstances reads the GPU's MIG instances. It lists them at every scrape because an administrator can create and
// destroy them at any time. The driver reports memory and processes per instance; it reports everything else only for
// the whole GPU.
func (g *gpu) scrapeInstances(now time.Time) {
	for _, instance := range g.instances {
		instance.result = pmetric.NewMetrics()
	}
	if g.lost != nil {
		return
	}
	enabled, err := g.device.MIGEnabled()
	if !g.ok("MIG mode", err) || !enabled {
		clear(g.instances)
		return
	}
	devices, err := g.device.MIGDevices(g.migDevices[:0])
	if !g.ok("MIG instances", err) {
		return
	}
	g.migDevices = devices
	instances := make(map[string]*gpu, len(devices))
	for _, device := range devices {
		uuid, err := device.UUID()
		if err != nil {
			continue // destroyed in the meantime
		}
		instance := g.instances[uuid]
		if instance == nil {
			if instance = g.newInstance(device, uuid); instance == nil {
				continue
			}
		}
		instance.device = device
		instances[uuid] = instance
		instance.begin(now)
		instance.readMemory()
		instance.readProcesses(now)
		instance.emit()
		g.failed = append(g.failed, instance.failed...)
		if instance.lost != nil {
			g.failed = append(g.failed, fmt.Errorf("%s: %w", uuid, instance.lost))
		}
	}
	g.instances = instances
}

// newInstance creates the gpu of a MIG instance. It returns nil if the profile of the instance cannot be read.
func (g *gpu) newInstance(device driver.Device, uuid string) *gpu {
	profile, err := device.MIGProfile()
	if !g.ok("MIG profile", err) {
		return nil
	}
	resource := pcommon.NewResource()
	g.resource.CopyTo(resource)
	if g.scraper.config.Builder.ResourceAttributes.NvmlMigProfile.Enabled {
		resource.Attributes().PutStr("nvml.mig.profile", profileName(profile))
	}
	name := fmt.Sprintf("%s MIG %d.%d", g.name, profile.GPUInstance, profile.ComputeInstance)
	instance := newGPU(g.scraper, device, uuid, name, resource)
	instance.options = []metadata.MetricAttributeOption{metadata.WithHwParentMetricAttribute(g.uuid)}
	return instance
}

// profileName returns the name that nvidia-smi gives a profile, such as 1g.10gb, or 1c.2g.20gb for a compute instance
// with only some of the slices.
func profileName(p driver.MIGProfile) string {
	name := fmt.Sprintf("%dg.%dgb", p.GPUSlices, (p.MemoryMiB+1023)/1024)
	if p.ComputeSlices != 0 && p.ComputeSlices != p.GPUSlices {
		return fmt.Sprintf("%dc.%s", p.ComputeSlices, name)
	}
	return name
}
