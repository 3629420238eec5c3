package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// wire gives the machine its addresses, and a cable to the router. Both ends are made inside namespaces: the host has no device,
// address, route or rule of a lab, so that labs cannot meet there.
func wire(machine *spec, pid int) error {
	inside, err := enter(pid)
	if err != nil {
		return err
	}
	defer inside.Close()
	loopback, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := inside.LinkSetUp(loopback); err != nil {
		return err
	}
	for _, address := range machine.Addresses {
		if err := assign(inside, loopback, address); err != nil {
			return err
		}
	}
	if machine.Uplink == nil {
		return nil
	}
	if err := connect(inside, machine.Uplink, pid); err != nil {
		return fmt.Errorf("the cable to %s: %w", machine.Uplink.Gateway, err)
	}
	return nil
}

func connect(inside *netlink.Handle, cable *uplink, pid int) error {
	router, err := enter(cable.Router)
	if err != nil {
		return err
	}
	defer router.Close()
	// The end of an earlier life of the machine goes away with its namespace, a moment after its last process.
	if old, err := router.LinkByName(cable.Device); err == nil {
		if err := router.LinkDel(old); err != nil && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: cable.Device},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsPid(pid),
	}
	if err := router.LinkAdd(pair); err != nil {
		return err
	}
	near, err := inside.LinkByName("eth0")
	if err != nil {
		return err
	}
	if err := assign(inside, near, cable.Address+"/32"); err != nil {
		return err
	}
	far, err := router.LinkByName(cable.Device)
	if err != nil {
		return err
	}
	if err := errors.Join(inside.LinkSetUp(near), router.LinkSetUp(far)); err != nil {
		return err
	}
	gateway := net.ParseIP(cable.Gateway)
	direct := netlink.Route{LinkIndex: near.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: host(gateway)}
	all := netlink.Route{LinkIndex: near.Attrs().Index, Gw: gateway}
	if err := errors.Join(inside.RouteReplace(&direct), inside.RouteReplace(&all)); err != nil {
		return err
	}
	address := net.ParseIP(cable.Address)
	back := netlink.Route{LinkIndex: far.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: host(address), Src: gateway}
	if err := router.RouteReplace(&back); err != nil {
		return err
	}
	for _, text := range cable.Networks {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			return err
		}
		if err := router.RouteReplace(&netlink.Route{LinkIndex: far.Attrs().Index, Dst: network, Gw: address}); err != nil {
			return err
		}
	}
	return nil
}

func enter(pid int) (*netlink.Handle, error) {
	space, err := netns.GetFromPid(pid)
	if err != nil {
		return nil, fmt.Errorf("the network of process %d: %w", pid, err)
	}
	defer space.Close()
	return netlink.NewHandleAt(space)
}

func assign(space *netlink.Handle, link netlink.Link, text string) error {
	address, err := netlink.ParseAddr(text)
	if err != nil {
		return err
	}
	return space.AddrReplace(link, address)
}

func host(address net.IP) *net.IPNet {
	return &net.IPNet{IP: address.To4(), Mask: net.CIDRMask(32, 32)}
}
