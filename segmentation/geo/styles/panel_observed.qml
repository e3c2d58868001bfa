<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology|MapTips|Temporal">
  <!-- Expressions, mode 4, and not the fields themselves, mode 2: older releases (3.22) compare a date with a point in
       time as texts, and so show polygons that begin on 1 January in the frame of the year before as well. -->
  <temporal enabled="1" mode="4" limitMode="1" startField="valid_from" endField="valid_to"
    startExpression="to_datetime(&quot;valid_from&quot;)" endExpression="to_datetime(&quot;valid_to&quot;)"/>
  <renderer-v2 type="graduatedSymbol" attr="valid_share" graduatedMethod="GraduatedColor">
    <ranges>
      <range symbol="0" lower="0" upper="0.5" label="less than half of it valid" render="true"/>
      <range symbol="1" lower="0.5" upper="0.95" label="0.5 to 0.95" render="true"/>
      <range symbol="2" lower="0.95" upper="1" label="nearly all valid" render="true"/>
    </ranges>
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="198,40,40,40"/>
          <prop k="outline_color" v="198,40,40,255"/>
          <prop k="outline_width" v="0.2"/>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1">
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="180,140,40,40"/>
          <prop k="outline_color" v="180,140,40,255"/>
          <prop k="outline_width" v="0.2"/>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1">
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="70,130,90,40"/>
          <prop k="outline_color" v="70,130,90,255"/>
          <prop k="outline_width" v="0.2"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <mapTip enabled="1">observed in [% "year" %], [% round(100 * "valid_share") %] % valid&lt;br>[% "mosaic" %]</mapTip>
</qgis>
