// gVisor's netstack as Debian packages it (golang-gvisor-gvisor-dev), on a TAP, with what peer.c serves: a source, a sink, an echo.
//
//	gvisor TAP MAC ADDRESS MTU SOURCE SINK ECHO     prints "ready"
//
// fdbased with packets read one batch at a time, receive buffers and windows as large as the kernel's client offers.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

func die(what string, err interface{}) {
	fmt.Fprintln(os.Stderr, what, err)
	os.Exit(1)
}

func openTap(name string) int {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR, 0)
	if err != nil {
		die("/dev/net/tun", err)
	}
	var request struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = unix.IFF_TAP | unix.IFF_NO_PI
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		die("TUNSETIFF", errno)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		die("SetNonblock", err)
	}
	return fd
}

func serve(s *stack.Stack, port string, talk func(net.Conn)) {
	number, _ := strconv.Atoi(port)
	listener, err := gonet.ListenTCP(s, tcpip.FullAddress{NIC: 1, Port: uint16(number)}, ipv4.ProtocolNumber)
	if err != nil {
		die("listen", err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				die("accept", err)
			}
			go func() {
				defer conn.Close()
				talk(conn)
			}()
		}
	}()
}

func main() {
	if len(os.Args) != 8 {
		os.Exit(2)
	}
	mac, err := net.ParseMAC(os.Args[2])
	if err != nil {
		die("MAC", err)
	}
	mtu, _ := strconv.Atoi(os.Args[4])
	link, err := fdbased.New(&fdbased.Options{
		FDs:            []int{openTap(os.Args[1])},
		MTU:            uint32(mtu),
		EthernetHeader: true,
		Address:        tcpip.LinkAddress(string(mac)),
	})
	if err != nil {
		die("fdbased", err)
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	sack := tcpip.TCPSACKEnabled(true)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &moderate)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: 4 << 20, Max: 8 << 20}
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &receive)
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: 4 << 20, Max: 8 << 20}
	s.SetTransportProtocolOption(tcp.ProtocolNumber, &send)
	if err := s.CreateNIC(1, link); err != nil {
		die("CreateNIC", err)
	}
	address := tcpip.Address(net.ParseIP(os.Args[3]).To4())
	with := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: address, PrefixLen: 24}}
	if err := s.AddProtocolAddress(1, with, stack.AddressProperties{}); err != nil {
		die("AddProtocolAddress", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	block := make([]byte, 256*1024)
	serve(s, os.Args[5], func(conn net.Conn) {
		for {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	})
	serve(s, os.Args[6], func(conn net.Conn) {
		buffer := make([]byte, 256*1024)
		for {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
		}
	})
	serve(s, os.Args[7], func(conn net.Conn) { io.Copy(conn, conn) })
	fmt.Println("ready")
	select {}
}
